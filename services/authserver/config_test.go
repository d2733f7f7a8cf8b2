package authserver

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

// TestBadSettings: whatever variable cannot be used, the server does not
// start, and the error names it (attack S5, with TestShortSecrets).
func TestBadSettings(t *testing.T) {
	dir := t.TempDir()
	for _, name := range secretNames {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name+secretFor), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("These are notes. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing", "file")
	bad := map[string][]string{
		"DOMAIN":                {"localhost", "https://demo.localhost", "Demo.localhost", "demo.localhost/x"},
		"HTTPS_PORT":            {"https", "0", "-1", "65536"},
		"LISTEN_ADDR":           {"127.0.0.1", "8081", "127.0.0.1:99999"},
		"LOG_LEVEL":             {"loud", "1"},
		"DATABASE_FILE":         {missing, dir, text},
		"AUDIT_FILE":            {missing, dir, text},
		"AUDIT_RETENTION":       {"0s", "-1h", "90 days"},
		"AUDIT_MAX_EVENTS":      {"0", "many"},
		"SECRETS_DIR":           {missing, text},
		"SMTP_ADDR":             {"mail", "mail:smtp", "mail:1:2"},
		"MAIL_FROM":             {"login", "Login <login@demo.example>", "login@demo.example, x@evil.example"},
		"CA_FILE":               {missing, text},
		"CLIENT_HOST_ADDR":      {"gateway", "gateway:1:2"},
		"INTERNAL_CERT_FILE":    {missing, text},
		"INTERNAL_KEY_FILE":     {missing},
		"INTERNAL_CA_FILE":      {text},
		"USERS_FILE":            {missing, text},
		"CLIENTS_FILE":          {missing, text},
		"ALLOWED_ORIGINS":       {"*", "null", "localhost:6274", "http://localhost:6274/", "http://localhost:6274,https://a.example/x", "https://u@a.example"},
		"KEY_LIFETIME":          {"1m", "-1h", "30 days"},
		"PASSCODES_PER_ADDRESS": {"0", "-1", "many", "1.5"},
		"PASSCODES_PER_IP":      {"0", "many"},
		"PASSCODES_TOTAL":       {"0", "many"},
		"AUTHORIZATIONS_PER_IP": {"0", "many"},
		"REGISTRATIONS_PER_IP":  {"0", "many"},
		"REGISTRATIONS_TOTAL":   {"0", "many"},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // a server that starts after all is stopped
	defer cancel()
	for name, values := range bad {
		for _, value := range values {
			environ := []string{"SECRETS_DIR=" + dir, "DATABASE_FILE=" + filepath.Join(t.TempDir(), "authserver.db"), "LISTEN_ADDR=127.0.0.1:0", name + "=" + value}
			err := Run(ctx, environ, io.Discard)
			if err == nil {
				t.Errorf("%s=%s is accepted", name, value)
			} else if first, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "configuration: "), "\n"); !strings.HasPrefix(first, name) && !strings.Contains(first, ": "+name+": ") {
				t.Errorf("%s=%s: the error does not name the variable: %v", name, value, err)
			}
		}
	}
	for _, name := range variables(reflect.TypeFor[Config]()) {
		if bad[name] == nil {
			t.Errorf("no bad value of %s is tried", name)
		}
		delete(bad, name)
	}
	for name := range bad {
		t.Errorf("%s is not read at all", name)
	}
}

// TestShortSecrets: the server does not start with a secret that somebody made
// up or left as it was (attack S5).
func TestShortSecrets(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, name := range secretNames {
		for _, value := range []string{"", "\n", "secret", "changeme", strings.Repeat("x", 31)} {
			dir := t.TempDir()
			for _, other := range secretNames {
				content := other + secretFor
				if other == name {
					content = value
				}
				if err := os.WriteFile(filepath.Join(dir, other), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := Run(ctx, []string{"SECRETS_DIR=" + dir, "DATABASE_FILE=" + filepath.Join(dir, "authserver.db"), "LISTEN_ADDR=127.0.0.1:0"}, io.Discard)
			if err == nil || !strings.Contains(err.Error(), "SECRETS_DIR: ") || !strings.Contains(err.Error(), name) {
				t.Errorf("S5 %s of %d bytes: %v", name, len(value), err)
			}
		}
	}
}

// variables lists the variables that a configuration is read from.
func variables(typ reflect.Type) (out []string) {
	for _, f := range reflect.VisibleFields(typ) {
		if name, _, _ := strings.Cut(f.Tag.Get("env"), ","); name != "" {
			out = append(out, name)
		}
	}
	return out
}

func TestDefaultsAreValid(t *testing.T) {
	cfg, err := config.Parse[Config](nil)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Issuer() != "https://login.demo.localhost:8443" || !strings.HasPrefix(cfg.ListenAddr, "127.0.0.1:") {
		t.Errorf("%+v", cfg)
	}
}
