package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/config"
	"demo.example/services/internal/mtls"
	"demo.example/services/internal/site"
)

// serviceName is what the service is called: in its log, in its certificate, and as a
// client of the authorization server, which knows its services by these names.
const serviceName = "gateway"

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
	ClientSecretFile string `env:"CLIENT_SECRET_FILE" envDefault:"/run/secrets/client-gateway"`

	// TokenCacheTTL is how long an introspection answer is reused while the
	// revocation stream is connected; without the stream it is one second.
	// Either way a revoked token is refused within a second.
	TokenCacheTTL   time.Duration `env:"TOKEN_CACHE_TTL" envDefault:"60s"`
	TokenCacheBytes int           `env:"TOKEN_CACHE_BYTES" envDefault:"33554432"` // memory for answers about tokens, about a kilobyte each; the container (`mem_limit` in compose.yaml) needs twice as much and 32 MiB

	// What one service may keep waiting, so that the others are not.
	UpstreamConcurrency int `env:"UPSTREAM_CONCURRENCY" envDefault:"1024"` // requests at each service at a time; one more is answered 503. A user gets 64 of them and a quarter at most, a client half, an address without a token a quarter.

	// How many requests are served in a minute. Those without a usable token
	// count for the IP address (of IPv6 a /64) that they come from.
	RequestsPerUser   int `env:"REQUESTS_PER_USER" envDefault:"6000"`    // requests a minute with the tokens of one user
	RequestsPerClient int `env:"REQUESTS_PER_CLIENT" envDefault:"60000"` // requests a minute with the tokens of one client, all its users together
	RefusalsPerIP     int `env:"REFUSALS_PER_IP" envDefault:"6000"`      // requests a minute without a usable token from one IP address (for IPv6: one /64)

	// AllowedOrigins are the web pages that may call the two resources from a
	// browser. The default is where MCP Inspector's page runs.
	AllowedOrigins []string `env:"ALLOWED_ORIGINS" envDefault:"http://localhost:6274,http://127.0.0.1:6274"`

	audit    audit.Recorder // where refusals are recorded; set when it starts
	identity *mtls.Identity // which the services know the gateway by; read from Settings
}

// Bounds of what can be set.
const (
	minTokenCacheBytes = 1 << 20 // some hundred tokens, however long
	maxPerMinute       = 1_000_000_000
)

// maxTokenCacheTTL keeps a typing mistake from making the authorization server's
// word outlive what no event tells of.
const maxTokenCacheTTL = time.Minute

// Validate reports every setting that cannot be used, by its variable.
func (s settings) Validate() error {
	errs := []error{
		s.Site.Validate(),
		config.CheckServiceURL("AUTHSERVER_URL", s.AuthserverURL), config.CheckServiceURL("STOCKSMCP_URL", s.StocksmcpURL),
		config.CheckServiceURL("STOCKSAPI_URL", s.StocksapiURL), config.CheckServiceURL("MAIL_URL", s.MailURL),
	}
	if s.TokenCacheTTL <= 0 || s.TokenCacheTTL > maxTokenCacheTTL {
		errs = append(errs, fmt.Errorf("TOKEN_CACHE_TTL: %s is not above zero and at most %s",
			s.TokenCacheTTL, maxTokenCacheTTL))
	}
	if s.TokenCacheBytes < minTokenCacheBytes {
		errs = append(errs, fmt.Errorf("TOKEN_CACHE_BYTES: %d is not a number of bytes from %d", s.TokenCacheBytes, minTokenCacheBytes))
	}
	if s.UpstreamConcurrency < 1 {
		errs = append(errs, fmt.Errorf("UPSTREAM_CONCURRENCY: %d is not a number of requests above zero", s.UpstreamConcurrency))
	}
	for _, quota := range []struct {
		variable string
		perMin   int
	}{
		{"REQUESTS_PER_USER", s.RequestsPerUser}, {"REQUESTS_PER_CLIENT", s.RequestsPerClient}, {"REFUSALS_PER_IP", s.RefusalsPerIP},
	} {
		if quota.perMin < 1 || quota.perMin > maxPerMinute {
			errs = append(errs, fmt.Errorf("%s: %d is not a number of requests from 1 to %d", quota.variable, quota.perMin, maxPerMinute))
		}
	}
	for _, origin := range s.AllowedOrigins {
		errs = append(errs, config.CheckWebOrigin("ALLOWED_ORIGINS", origin))
	}
	return errors.Join(errs...)
}
