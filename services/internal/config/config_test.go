package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/config"
)

type settings struct {
	ListenAddr string     `env:"LISTEN_ADDR" envDefault:"127.0.0.1:8080"`
	HTTPSPort  int        `env:"HTTPS_PORT" envDefault:"8443"`
	LogLevel   slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	CAFile     bool       `env:"CA_FILE"`
	SMTPAddr   string     `env:"SMTP_ADDR,required"`
	MailFrom   string     `env:"MAIL_FROM,notEmpty" envDefault:"login@demo.example"`
	MaxPerIP   uint       `env:"MAX_PER_IP"`
}

// Validate refuses one value, as the services' settings do.
func (s settings) Validate() error {
	if s.ListenAddr == "nowhere" {
		return errors.New("LISTEN_ADDR: nowhere is not an address")
	}
	return nil
}

func TestParse(t *testing.T) {
	got, err := config.Parse[settings]([]string{"SMTP_ADDR=mail:1025", "HTTPS_PORT=443", "LOG_LEVEL=debug", "UNRELATED=x", "NOVALUE", "LISTEN_ADDR="})
	want := settings{ListenAddr: "127.0.0.1:8080", HTTPSPort: 443, LogLevel: slog.LevelDebug, SMTPAddr: "mail:1025", MailFrom: "login@demo.example"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	t.Setenv("HTTPS_PORT", "1")
	if got, err := config.Parse[settings]([]string{"SMTP_ADDR=x"}); err != nil || got.HTTPSPort != 8443 {
		t.Errorf("the process's own environment was read: %+v, %v", got, err)
	}
}

func TestParseNamesTheVariables(t *testing.T) {
	tests := map[string]struct {
		environ []string
		want    []string
	}{
		"not a number":    {[]string{"SMTP_ADDR=x", "HTTPS_PORT=many"}, []string{"HTTPS_PORT: "}},
		"not a level":     {[]string{"SMTP_ADDR=x", "LOG_LEVEL=loud"}, []string{"LOG_LEVEL: "}},
		"not a bool":      {[]string{"SMTP_ADDR=x", "CA_FILE=maybe"}, []string{"CA_FILE: "}},
		"ends in capital": {[]string{"SMTP_ADDR=x", "MAX_PER_IP=-1"}, []string{"MAX_PER_IP: "}},
		"missing":         {nil, []string{"SMTP_ADDR: is required"}},
		"validated":       {[]string{"SMTP_ADDR=x", "LISTEN_ADDR=nowhere"}, []string{"LISTEN_ADDR: "}},
		"all at once":     {[]string{"HTTPS_PORT=many", "LOG_LEVEL=loud"}, []string{"HTTPS_PORT: ", "LOG_LEVEL: ", "SMTP_ADDR: "}},
	}
	for name, tt := range tests {
		_, err := config.Parse[settings](tt.environ)
		for _, want := range tt.want {
			if err == nil || !strings.HasPrefix(err.Error(), "configuration: ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want an error that names %s", name, err, want)
			}
		}
	}
}

// TestSecretIsNotShown by any of the usual ways in which values get into logs
// and answers.
func TestSecretIsNotShown(t *testing.T) {
	const value = "0123456789abcdef0123456789abcdef"
	secret := config.Secret(value)
	type holder struct {
		Name   string
		Secret config.Secret
		Map    map[string]config.Secret
		Ptr    *config.Secret
	}
	in := holder{"gateway", secret, map[string]config.Secret{"k": secret}, &secret}
	shown := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X"} {
		shown[verb] = fmt.Sprintf(verb, secret)
		shown[verb+" in a struct"] = fmt.Sprintf(verb, in)
		shown[verb+" in a list"] = fmt.Sprintf(verb, []config.Secret{secret})
	}
	shown["Sprint"] = fmt.Sprint(secret, in)
	shown["error"] = fmt.Errorf("with %v", secret).Error()
	for name, v := range map[string]any{"JSON": secret, "JSON struct": in} {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		shown[name] = string(raw)
	}
	var logs strings.Builder
	for _, h := range []slog.Handler{slog.NewJSONHandler(&logs, nil), slog.NewTextHandler(&logs, nil)} {
		slog.New(h).With("with", secret).Info("message", "secret", secret, "struct", in, "group", slog.GroupValue(slog.Any("s", secret)))
	}
	shown["slog"] = logs.String()
	for name, s := range shown {
		if strings.Contains(s, value) || strings.Contains(strings.ToLower(s), fmt.Sprintf("%x", value)) {
			t.Errorf("%s shows the secret: %s", name, s)
		}
	}
	if string(secret) != value {
		t.Error("the secret itself is lost")
	}
}

// TestReadSecret: a default, such as "changeme" or nothing, is no secret
// (attack S5).
func TestReadSecret(t *testing.T) {
	const value = "0123456789abcdef0123456789abcdef"
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		content string
		want    string // empty: refused
	}{
		"plain":           {value, value},
		"line break":      {value + "\n", value},
		"Windows":         {value + "\r\n", value},
		"spaces are kept": {" " + value + " \n", " " + value + " "},
		"a default":       {"changeme", ""},
		"31 bytes":        {value[1:], ""},
		"31 and a break":  {value[1:] + "\n", ""},
		"empty":           {"", ""},
		"breaks alone":    {strings.Repeat("\n", 64), ""},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := config.ReadSecret("SECRETS_DIR", file)
		if string(got) != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v", name, string(got), err)
		}
		if err != nil && (!strings.HasPrefix(err.Error(), "SECRETS_DIR: ") || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), value[1:])) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := config.ReadSecret("CLIENT_SECRET_FILE", filepath.Join(dir, "missing")); err == nil || !strings.HasPrefix(err.Error(), "CLIENT_SECRET_FILE: ") || !strings.Contains(err.Error(), "make up") {
		t.Errorf("missing: %v", err)
	}
}
