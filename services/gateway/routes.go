package gateway

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"demo.example/services/internal/dpop"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/problem"
	"demo.example/services/internal/site"
)

// A route says where the requests for one host go, and what they must bring.
type route struct {
	Host     string                 // name below the domain
	Service  string                 // for people, when it cannot be reached
	Upstream url.URL                // where it listens
	Serves   func(path string) bool // any other path is 404
	Resource *resource              // what a token must be for; nil: no token needed
	Public   func(path string) bool // what needs none all the same

	Credentials bool // Authorization and Cookie are the service's own to judge
	Private     bool // only its own pages may call it, and only WebSockets may upgrade
	Streams     bool // answers may take as long as they like once they have begun
}

// A resource is what access tokens are for.
type resource struct {
	ID       string   // resource identifier (RFC 8707 §2), the audience of its tokens
	Name     string   // for people (RFC 9728 §2, resource_name)
	Scope    string   // what every request needs
	Metadata []string // paths of its metadata, the one that challenges name first
}

// routes is what the gateway exposes. All else is refused.
func routes(cfg settings) []route {
	return []route{
		{
			Host: "login", Service: "The authorization server", Upstream: cfg.AuthserverURL,
			Serves:      loginPaths,
			Credentials: true, // clients authenticate at /token, browsers have sessions
		},
		{
			Host: "admin", Service: "The administration", Upstream: cfg.AuthserverURL,
			Serves:      anyOf(below("/admin"), below("/static")),
			Credentials: true, // browsers have sessions
		},
		{
			Host: "mcp", Service: "The MCP server", Upstream: cfg.StocksmcpURL,
			Serves:  only("/"),
			Streams: true, // server-sent events
			Resource: &resource{
				ID: cfg.MCPResource(), Name: "Stocks MCP server", Scope: oauth.ScopeStocksRead,
				Metadata: []string{metadataPath, metadataPath + "/"},
			},
		},
		{
			Host: "api", Service: "The stocks API", Upstream: cfg.StocksapiURL,
			Serves: anyOf(below("/stocks"), below("/orders"), only("/openapi.json")),
			Public: only("/openapi.json"), // how to call it is no secret
			Resource: &resource{
				ID: cfg.APIResource(), Name: "Stocks API", Scope: oauth.ScopeStocksRead,
				Metadata: []string{metadataPath, metadataPath + "/stocks"},
			},
		},
		{
			Host: "mail", Service: "The inbox", Upstream: cfg.MailURL,
			Serves:  except("/healthz"),
			Private: true, // it shows passcodes to whoever asks
			Streams: true, // a WebSocket
		},
	}
}

// loginPaths are what the authorization server has for everybody. Whatever else
// it serves, now or later, is for the services of this deployment. A test of
// package chain holds it against authserver/routes.go.
var loginPaths = anyOf(
	only("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks"),
	only("/register", "/device_authorization", "/token", "/par", "/userinfo", "/revoke", "/introspect"),
	below("/register"), // one registration
	only("/authorize", "/signin", "/passcode", "/consent", "/device", "/approve", "/account", "/signout", "/logout", "/"),
	below("/static"),
)

func only(paths ...string) func(string) bool {
	return func(p string) bool { return slices.Contains(paths, p) }
}
func except(path string) func(string) bool { return func(p string) bool { return !below(path)(p) } }
func below(path string) func(string) bool {
	return func(p string) bool { return p == path || strings.HasPrefix(p, path+"/") }
}

func anyOf(all ...func(string) bool) func(string) bool {
	return func(p string) bool {
		return slices.ContainsFunc(all, func(serves func(string) bool) bool { return serves(p) })
	}
}

// newRouter finds the handler of a request by its host. The way to a service
// is made by its name and origin.
func newRouter(cfg settings, tokens *tokenCache, proofs *dpop.Checker, services *states, way func(string, url.URL) http.RoundTripper, log *slog.Logger) http.Handler {
	quotas := newQuotas(cfg)
	hosts := map[string]http.Handler{
		cfg.Host(""):       newLanding(cfg.Site, services, serveHealth(tokens.revoked)),
		cfg.Host("client"): newClientDocument(cfg.Site),
	}
	for _, rt := range routes(cfg) {
		hosts[cfg.Host(rt.Host)] = rt.handler(cfg, tokens, proofs, quotas, way(rt.Host, rt.Upstream), log)
	}
	unknown := newNotFoundPage(cfg.Site, "No service of this deployment has that name.")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := normalHost(cfg.Site, r.Host)
		if h, ok := hosts[host]; ok {
			h.ServeHTTP(w, r)
			return
		}
		if strings.HasSuffix(host, "."+cfg.Host("")) {
			unknown.ServeHTTP(w, r)
			return
		}
		// A name that someone else pointed at this address (DNS rebinding)
		// must find nothing here (RFC 9110 §15.5.20).
		problem.Write(w, r, &problem.Details{
			Status: http.StatusMisdirectedRequest,
			Title:  "Not served here",
			Detail: "This gateway serves " + cfg.Host("") + " and the names below it.",
		})
	})
}

// handler is what a request for the route passes through, first to last.
func (rt route) handler(cfg settings, tokens *tokenCache, proofs *dpop.Checker, quotas quotas, transport http.RoundTripper, log *slog.Logger) http.Handler {
	var h http.Handler = newProxy(rt, transport, log)
	if rt.Streams {
		h = limitWrites(answerTime, h)
	} else {
		h = limitTime(h)
	}
	h = rt.bodyFirst(quotas.Bodies, h, log) // before the time of the answer begins
	if rt.Resource != nil {
		log := log.With("resource", rt.Resource.ID)
		h = rt.orPublic(h, &phantomTokens{
			Resource:    *rt.Resource,
			MetadataURL: cfg.Origin(rt.Host) + rt.Resource.Metadata[0],
			Tokens:      tokens,
			Origin:      cfg.Origin(rt.Host),
			Proofs:      proofs,
			Quotas:      quotas,
			Audit:       cfg.audit,
			Log:         log,
			Next:        h,
		})
		h = crossOrigin(append([]string{cfg.Origin(rt.Host)}, cfg.AllowedOrigins...), log, h)
	}
	if rt.Private {
		h = sameOrigin(cfg.Origin(rt.Host), h)
	}
	h = limitBody(h)
	h = limitPaths(rt.Serves, cfg.Site, h)
	if rt.Resource != nil {
		h = publishMetadata(cfg.Issuer(), *rt.Resource, h)
	}
	return h
}

// orPublic lets requests for what is public pass without a token.
func (rt route) orPublic(public, protected http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rt.Public != nil && rt.Public(r.URL.Path) {
			public.ServeHTTP(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
}

// limitPaths answers 404 to what the service does not offer to the public, to
// browsers with a page.
func limitPaths(serves func(string) bool, s site.Site, next http.Handler) http.Handler {
	page := newNotFoundPage(s, "There is no such page.")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !serves(r.URL.Path) && strings.Contains(r.Header.Get("Accept"), "text/html") {
			page.ServeHTTP(w, r)
			return
		}
		if !serves(r.URL.Path) {
			problem.Write(w, r, &problem.Details{
				Status: http.StatusNotFound,
				Title:  "Not found",
				Detail: "There is nothing at this path of " + r.Host + ".",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// normalHost returns a Host header as site.Host writes it.
func normalHost(s site.Site, host string) string {
	host = strings.ToLower(host)
	if s.HTTPSPort == 443 {
		host = strings.TrimSuffix(host, ":443")
	}
	return host
}
