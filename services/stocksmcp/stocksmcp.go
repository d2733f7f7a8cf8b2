// Package stocksmcp is the MCP server: tools, a resource and a prompt about
// stocks, which ask the stocks API on behalf of the user. It keeps nothing
// between requests.
//
// Start at routes.go, then fetchstockprices.go: the tool trades the token that
// came with the request for one that is good at the stocks API (exchange.go)
// and calls it (stocksclient.go). Orders need more scope (requirescopes.go) and
// the user's approval (placeorder.go).
package stocksmcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/sync/errgroup"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/config"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/mtls"
	"demo.example/services/internal/revocation"
	"demo.example/services/internal/service"
	"demo.example/services/internal/site"
	"demo.example/services/internal/token"
)

// serviceName is what the service is called: in its log, in its certificate, and as a
// client of the authorization server, which knows its services by these names.
const serviceName = "stocksmcp"

// settings is what the service is configured with.
type settings struct {
	site.Site
	mtls.Settings
	ListenAddr       string     `env:"LISTEN_ADDR,notEmpty" envDefault:"127.0.0.1:8082"`
	AuthserverURL    url.URL    `env:"AUTHSERVER_URL" envDefault:"http://127.0.0.1:8081"` // signing keys and token exchange
	StocksapiURL     url.URL    `env:"STOCKSAPI_URL" envDefault:"http://127.0.0.1:8083"`
	patience         patience   // not a setting: tests have less
	ClientSecretFile string     `env:"CLIENT_SECRET_FILE,notEmpty" envDefault:"/run/secrets/client-stocksmcp"`
	LogLevel         slog.Level `env:"LOG_LEVEL" envDefault:"info"`

	audit    audit.Recorder // where calls are recorded; set when it starts
	identity *mtls.Identity // among the services; read from Settings
}

// Validate reports every setting that cannot be used, by its variable.
func (s settings) Validate() error {
	return errors.Join(
		s.Site.Validate(),
		config.CheckServiceURL("AUTHSERVER_URL", s.AuthserverURL),
		config.CheckServiceURL("STOCKSAPI_URL", s.StocksapiURL),
	)
}

// transport returns connections to the other services, which know this one by
// its identity. There is no proxy between them, whatever the environment says.
func (s settings) transport() *http.Transport {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute}
	s.identity.Secure(transport)
	return transport
}

// callTimeout bounds each call to another service.
const callTimeout = 5 * time.Second

// patience is how a call waits for a user who decides about an order.
type patience struct {
	Every time.Duration // between two looks
	For   time.Duration // then the client is asked again
}

// Main is Run for a process of its own, whose garbage collector it may set.
func Main(ctx context.Context, environ []string, stderr io.Writer) error {
	// The SDK allocates more than half a megabyte for each call, all of it
	// short-lived, and little is kept. Collecting less often was measured to
	// save a tenth to a fifth of the CPU of a call; idle it costs nothing. When
	// memory is short GOMEMLIMIT decides, whatever this says, and what can be
	// held at a time is well below it (atonce.go).
	debug.SetGCPercent(400)
	return Run(ctx, environ, stderr)
}

// Run serves MCP until ctx ends.
func Run(ctx context.Context, environ []string, stderr io.Writer) error {
	return run(ctx, environ, stderr, func(*mcp.Server) {})
}

// run is Run with a server that extend has added to.
func run(ctx context.Context, environ []string, stderr io.Writer, extend func(*mcp.Server)) error {
	cfg, err := config.Parse[settings](environ)
	if err != nil {
		return err
	}
	cfg.patience = patience{Every: time.Second, For: 10 * time.Second} // less than clients and the gateway wait for an answer
	secret, err := config.ReadSecret("CLIENT_SECRET_FILE", cfg.ClientSecretFile)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	log := service.Logger(stderr, serviceName, cfg.LogLevel)
	if cfg.identity, err = mtls.Load(cfg.Settings, serviceName, log); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	// Only the gateway reaches this service, so the request id is its own.
	sender := audit.NewSender(serviceName, cfg.AuthserverURL, secret, httpserver.NewClient(cfg.transport()), log)
	defer sender.Start()()
	cfg.audit = sender
	server, follower := newServer(cfg, secret, log, extend)
	srv := httpserver.New(httpserver.Wrap(server, log, true), log)
	srv.TLSConfig = cfg.identity.Server()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { follower.Run(ctx); return nil })
	g.Go(func() error { return httpserver.Serve(ctx, srv, "LISTEN_ADDR", cfg.ListenAddr, log) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("stocksmcp: %w", err)
	}
	return nil
}

// newServer connects the parts. The follower tells them what was revoked, once
// it runs.
func newServer(cfg settings, secret config.Secret, log *slog.Logger, extend func(*mcp.Server)) (http.Handler, *revocation.Follower) {
	client := httpserver.NewClient(cfg.transport())
	follower := &revocation.Follower{
		URL: cfg.AuthserverURL.JoinPath("revocations").String(), ClientID: serviceName, Secret: secret, Client: client,
		Watch: revocation.NewWatch(exchangeTTL, time.Now), Log: log,
	}
	up := &upstream{
		Tokens: newExchange(exchangeConfig{
			URL:      cfg.AuthserverURL.JoinPath("token").String(),
			ClientID: serviceName,
			Secret:   secret,
			Client:   client,
			Revoked:  follower.Watch,
			Now:      time.Now,
		}),
		Stocks:   &stocksClient{URL: &cfg.StocksapiURL, Client: client},
		Audience: cfg.APIResource(),
	}
	server := newMCPServer(
		&completeSymbols{up, log},
		&fetchStockPrices{up, log},
		&getStock{up, time.Now, log},
		&placeOrder{
			Upstream: up,
			Approvals: &approvals{
				URL:      cfg.AuthserverURL.JoinPath("approvals"),
				Origin:   cfg.Issuer(),
				ClientID: serviceName,
				Secret:   secret,
				Client:   client,
				Patience: cfg.patience,
			},
			States: newStateSigner(secret),
			Now:    time.Now,
			Log:    log,
		},
		&stockResource{up, log},
		compareStocks{},
	)
	verifier := token.NewVerifier(cfg.Issuer(), cfg.MCPResource(), cfg.AuthserverURL.JoinPath("jwks").String(), client)
	server.AddReceivingMiddleware(audited(cfg.audit))
	extend(server)
	return routes(cfg.Site, verifier, server, follower.Watch, cfg.audit, log), follower
}
