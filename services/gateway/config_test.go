package gateway

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"demo.example/services/internal/config"
)

func TestDefaults(t *testing.T) {
	cfg, err := config.Parse[settings]([]string{"TLS_CERT_FILE=c", "TLS_KEY_FILE=k"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.TokenCacheTTL != time.Minute {
		t.Errorf("TOKEN_CACHE_TTL is %s by default, not the minute that docs/decisions/0016 speaks of", cfg.TokenCacheTTL)
	}
}

// TestBadSettings starts the gateway with one unusable value at a time, for every
// variable that it reads, a default secret among them (attack S5).
func TestBadSettings(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	writeCertificate(t, file("cert"), file("key"), time.Now().Add(time.Hour), "*.demo.localhost")
	writeCertificate(t, file("other-cert"), file("other-key"), time.Now().Add(time.Hour), "*.demo.example")
	writeCertificate(t, file("old-cert"), file("old-key"), time.Now().Add(-time.Minute), "*.demo.localhost")
	for name, content := range map[string]string{"secret": strings.Repeat("s", 32), "short": "hunter2", "garbage": "garbage"} {
		if err := os.WriteFile(file(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := map[string]string{
		"LISTEN_ADDR": "127.0.0.1:0", "HEALTH_LISTEN_ADDR": "127.0.0.1:0",
		"TLS_CERT_FILE": file("cert"), "TLS_KEY_FILE": file("key"), "CLIENT_SECRET_FILE": file("secret"),
	}
	bad := map[string][]string{
		"DOMAIN":               {"localhost", "https://demo.localhost", "demo..localhost"},
		"HTTPS_PORT":           {"0", "65536", "https"},
		"LISTEN_ADDR":          {"8443", "127.0.0.1:65536"},
		"HEALTH_LISTEN_ADDR":   {"8085", "127.0.0.1:65536"},
		"LOG_LEVEL":            {"loud"},
		"TLS_CERT_FILE":        {"", file("none"), file("garbage"), file("other-cert"), file("old-cert")},
		"TLS_KEY_FILE":         {"", file("none"), file("garbage"), file("other-key")},
		"AUTHSERVER_URL":       {"127.0.0.1:8081", "ftp://a", "http://", "http://a/b", "http://a?b", "http://u:p@a", "http://a:b", "http://a#b"},
		"STOCKSMCP_URL":        {"authserver", "http://a/mcp"},
		"STOCKSAPI_URL":        {"unix:/run/x", "%"},
		"MAIL_URL":             {"/", "http:a"},
		"CLIENT_SECRET_FILE":   {file("none"), file("short")},
		"INTERNAL_CERT_FILE":   {file("cert")},
		"INTERNAL_KEY_FILE":    {file("key")},
		"INTERNAL_CA_FILE":     {file("cert")},
		"TOKEN_CACHE_TTL":      {"0", "-1s", "61s", "1", "soon"},
		"TOKEN_CACHE_BYTES":    {"0", "-1", "many", "1000"},
		"UPSTREAM_CONCURRENCY": {"0", "-1", "many"},
		"REQUESTS_PER_USER":    {"0", "-1", "2000000000"},
		"REQUESTS_PER_CLIENT":  {"0", "many"},
		"REFUSALS_PER_IP":      {"0", "1/s"},
		"ALLOWED_ORIGINS":      {"*", "null", "http://localhost:6274/", "http://a,b", "localhost:6274"},
	}
	for _, variable := range variables(reflect.TypeFor[settings]()) {
		if len(bad[variable]) == 0 {
			t.Errorf("%s: no bad value is tried", variable)
		}
	}
	for variable, values := range bad {
		for _, value := range values {
			t.Run(variable+"="+filepath.Base(value), func(t *testing.T) {
				environ := []string{variable + "=" + value}
				for name, usable := range good {
					if name != variable {
						environ = append(environ, name+"="+usable)
					}
				}
				if pair, ok := strings.CutSuffix(value, "-cert"); ok { // a certificate goes with its key
					environ = append(environ, "TLS_KEY_FILE="+pair+"-key")
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := Run(ctx, environ, io.Discard)
				if err == nil || !strings.Contains(err.Error(), variable) {
					t.Errorf("got %v, want an error that names %s", err, variable)
				}
				if err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Error("the error shows the secret")
				}
			})
		}
	}
}

// variables returns the names of all variables that a settings struct reads.
func variables(typ reflect.Type) []string {
	var names []string
	for field := range typ.Fields() {
		if field.Anonymous {
			names = append(names, variables(field.Type)...)
			continue
		}
		if name, _, _ := strings.Cut(field.Tag.Get("env"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}
