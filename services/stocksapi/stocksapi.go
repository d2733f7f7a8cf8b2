// Package stocksapi is the API that the chain protects: stock prices, of
// which every user sees those of their own region, and orders.
//
// Start at routes.go, then policy.go: the token says who asks, the policy
// decides, and nothing in the request can change that.
package stocksapi

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

	"demo.example/services/internal/audit"
	"demo.example/services/internal/config"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/mtls"
	"demo.example/services/internal/service"
	"demo.example/services/internal/site"
	"demo.example/services/internal/token"
	"demo.example/services/stocksapi/store/sqlite"
)

// serviceName is what the service is called: in its log, in its certificate, and as a
// client of the authorization server, which knows its services by these names.
const serviceName = "stocksapi"

// settings is what the service is configured with.
type settings struct {
	site.Site
	mtls.Settings
	ListenAddr    string     `env:"LISTEN_ADDR,notEmpty" envDefault:"127.0.0.1:8083"`
	AuthserverURL url.URL    `env:"AUTHSERVER_URL" envDefault:"http://127.0.0.1:8081"` // signing keys, audit trail
	OrdersFile    string     `env:"ORDERS_FILE,notEmpty" envDefault:"orders.db"`       // SQLite file of the orders
	LogLevel      slog.Level `env:"LOG_LEVEL" envDefault:"info"`

	// What the API shows to the authorization server to report its decisions.
	ClientSecretFile string `env:"CLIENT_SECRET_FILE,notEmpty" envDefault:"/run/secrets/client-stocksapi"`
}

// Validate reports every setting that cannot be used, by its variable.
func (s settings) Validate() error {
	return errors.Join(s.Site.Validate(), config.CheckServiceURL("AUTHSERVER_URL", s.AuthserverURL))
}

// Main is Run for a process of its own, whose garbage collector it may set.
func Main(ctx context.Context, environ []string, stderr io.Writer) error {
	// As in the MCP server: answers leave garbage, and little is kept.
	debug.SetGCPercent(400)
	return Run(ctx, environ, stderr)
}

// Run serves the API until ctx ends.
func Run(ctx context.Context, environ []string, stderr io.Writer) error {
	cfg, err := config.Parse[settings](environ)
	if err != nil {
		return err
	}
	secret, err := config.ReadSecret("CLIENT_SECRET_FILE", cfg.ClientSecretFile)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	log := service.Logger(stderr, serviceName, cfg.LogLevel)
	stocks, err := loadCatalog()
	if err != nil {
		return err
	}
	orders, err := sqlite.Open(context.WithoutCancel(ctx), cfg.OrdersFile) // it takes a moment, whatever ends meanwhile
	if err != nil {
		return fmt.Errorf("ORDERS_FILE: %w", err)
	}
	defer orders.Close()
	identity, err := mtls.Load(cfg.Settings, serviceName, log)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	transport := &http.Transport{IdleConnTimeout: time.Minute} // no proxy between services, whatever the environment says
	identity.Secure(transport)
	client := httpserver.NewClient(transport)
	sender := audit.NewSender(serviceName, cfg.AuthserverURL, secret, client, log)
	defer sender.Start()()
	jwks := cfg.AuthserverURL.JoinPath("jwks").String()
	verifier := token.NewVerifier(cfg.Issuer(), cfg.APIResource(), jwks, client)
	// Only the gateway and the MCP server reach this service, so the request
	// id that they send is theirs.
	handler := httpserver.Wrap(routes(parts{
		Site: cfg.Site, Verifier: verifier, Catalog: stocks, Orders: orders, Now: time.Now, Audit: sender, Log: log,
	}), log, true)
	srv := httpserver.New(handler, log)
	srv.TLSConfig = identity.Server()
	if err := httpserver.Serve(ctx, srv, "LISTEN_ADDR", cfg.ListenAddr, log); err != nil {
		return fmt.Errorf("stocksapi: %w", err)
	}
	return nil
}
