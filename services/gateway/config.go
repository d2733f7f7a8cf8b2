package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"demo.example/services/internal/mtls"
	"demo.example/services/internal/site"
)

// settings of the gateway, from the environment.
type settings struct {
	site.Site
	mtls.Settings
	ListenAddr       string     `env:"LISTEN_ADDR" envDefault:"127.0.0.1:8443,[::1]:8443"` // comma separated
	HealthListenAddr string     `env:"HEALTH_LISTEN_ADDR" envDefault:"127.0.0.1:8085"`     // plain http, /healthz only
	LogLevel         slog.Level `env:"LOG_LEVEL" envDefault:"info"`

	// The certificate for the domain and every name below it. It is read
	// again when the files change.
	TLSCertFile string `env:"TLS_CERT_FILE,required,notEmpty"`
	TLSKeyFile  string `env:"TLS_KEY_FILE,required,notEmpty"`

	AuthserverURL url.URL `env:"AUTHSERVER_URL" envDefault:"http://127.0.0.1:8081"`
	StocksmcpURL  url.URL `env:"STOCKSMCP_URL" envDefault:"http://127.0.0.1:8082"`
	StocksapiURL  url.URL `env:"STOCKSAPI_URL" envDefault:"http://127.0.0.1:8083"`
	MailURL       url.URL `env:"MAIL_URL" envDefault:"http://127.0.0.1:8084"`

	// What the gateway shows to the authorization server to introspect.
	ClientID         string `env:"CLIENT_ID" envDefault:"gateway"`
	ClientSecretFile string `env:"CLIENT_SECRET_FILE" envDefault:"/run/secrets/client-gateway"`

	// TokenCacheTTL is for how long the authorization server's word on a
	// token is taken while its revocation stream is connected; otherwise it is
	// a second. A revoked token passes for a second at most in either case.
	TokenCacheTTL  time.Duration `env:"TOKEN_CACHE_TTL" envDefault:"60s"`
	TokenCacheSize int           `env:"TOKEN_CACHE_SIZE" envDefault:"10000"` // tokens

	// AllowedOrigins are the web pages that may call the two resources from a
	// browser. The default is where MCP Inspector's page runs.
	AllowedOrigins []string `env:"ALLOWED_ORIGINS" envDefault:"http://localhost:6274,http://127.0.0.1:6274"`

	identity *mtls.Identity // which the services know the gateway by; read from Settings
}

// maxTokenCacheTTL keeps a typing mistake from making the authorization server's
// word outlive what no event tells of.
const maxTokenCacheTTL = time.Minute

// Validate reports every setting that cannot be used, by its variable.
func (s settings) Validate() error {
	errs := []error{s.Site.Validate()}
	for _, upstream := range []struct {
		variable string
		url      url.URL
	}{
		{"AUTHSERVER_URL", s.AuthserverURL}, {"STOCKSMCP_URL", s.StocksmcpURL},
		{"STOCKSAPI_URL", s.StocksapiURL}, {"MAIL_URL", s.MailURL},
	} {
		if !isOrigin(upstream.url) {
			errs = append(errs, fmt.Errorf("%s: %q is not scheme, host and port alone, such as http://127.0.0.1:8081",
				upstream.variable, upstream.url.Redacted()))
		}
	}
	if s.TokenCacheTTL <= 0 || s.TokenCacheTTL > maxTokenCacheTTL {
		errs = append(errs, fmt.Errorf("TOKEN_CACHE_TTL: %s is not above zero and at most %s",
			s.TokenCacheTTL, maxTokenCacheTTL))
	}
	if s.TokenCacheSize < 1 {
		errs = append(errs, fmt.Errorf("TOKEN_CACHE_SIZE: %d is not a number of tokens above zero", s.TokenCacheSize))
	}
	for _, origin := range s.AllowedOrigins {
		u, err := url.Parse(origin)
		if err != nil || !isOrigin(*u) || u.Path != "" || u.String() != origin {
			errs = append(errs, fmt.Errorf("ALLOWED_ORIGINS: %q is not an origin as a browser sends it, such as http://localhost:6274", origin))
		}
	}
	return errors.Join(errs...)
}

// isOrigin reports whether u says where to connect and nothing more.
func isOrigin(u url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && (u.Path == "" || u.Path == "/") &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && u.Opaque == ""
}
