package authserver

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"path/filepath"
	"time"

	"demo.example/services/authserver/keys"
	"demo.example/services/internal/config"
	"demo.example/services/internal/mtls"
	"demo.example/services/internal/site"
)

// Config is everything that the environment sets.
type Config struct {
	site.Site
	mtls.Settings

	ListenAddr     string     `env:"LISTEN_ADDR" envDefault:"127.0.0.1:8081"`
	LogLevel       slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	DatabaseFile   string     `env:"DATABASE_FILE" envDefault:"authserver.db"` // created when missing
	AuditFile      string     `env:"AUDIT_FILE"`                               // created when missing; empty means audit.db beside DATABASE_FILE
	SecretsDir     string     `env:"SECRETS_DIR" envDefault:"/run/secrets"`    // key-encryption-key and client-*
	SMTPAddr       string     `env:"SMTP_ADDR" envDefault:"127.0.0.1:1025"`
	MailFrom       string     `env:"MAIL_FROM" envDefault:"login@demo.example"`
	CAFile         string     `env:"CA_FILE"`          // certificate authority that is trusted in addition to the system's, for fetching client documents and for the administration's calls to the issuer
	ClientHostAddr string     `env:"CLIENT_HOST_ADDR"` // host:port at which the demo client's document is fetched and the administration calls the issuer; when empty, there is no such document and the issuer's name is resolved as usual
	UsersFile      string     `env:"USERS_FILE"`       // users and administrators, read at every start; empty means the demo's own
	ClientsFile    string     `env:"CLIENTS_FILE"`     // pre-registered clients; empty means the demo's own
	AllowedOrigins []string   `env:"ALLOWED_ORIGINS" envDefault:"http://localhost:6274,http://127.0.0.1:6274"`

	KeyLifetime time.Duration `env:"KEY_LIFETIME" envDefault:"720h"` // how long a signing key is used before the next one takes over

	AuditRetention time.Duration `env:"AUDIT_RETENTION" envDefault:"2160h"`    // how long an event stays in the audit trail
	AuditMaxEvents int           `env:"AUDIT_MAX_EVENTS" envDefault:"1000000"` // how many events the audit trail keeps at most

	// An hour's passcodes: for an address, from an IP address, in all.
	PasscodesPerAddress int `env:"PASSCODES_PER_ADDRESS" envDefault:"60"`
	PasscodesPerIP      int `env:"PASSCODES_PER_IP" envDefault:"300"`
	PasscodesTotal      int `env:"PASSCODES_TOTAL" envDefault:"3000"`

	AuthorizationsPerIP int `env:"AUTHORIZATIONS_PER_IP" envDefault:"300"` // authorization requests a minute from one IP address (for IPv6: one /64); 20 times as many in all

	RegistrationsPerIP int `env:"REGISTRATIONS_PER_IP" envDefault:"1000"` // registrations an hour from one IP address (for IPv6: one /64)
	RegistrationsTotal int `env:"REGISTRATIONS_TOTAL" envDefault:"10000"` // registrations an hour in all; at most twice as many are kept that no user consented to
}

// auditFile is where the audit trail is kept.
func (c Config) auditFile() string {
	return cmp.Or(c.AuditFile, filepath.Join(filepath.Dir(c.DatabaseFile), "audit.db"))
}

// Validate reports the first variable that cannot be used.
func (c Config) Validate() error {
	if err := c.Site.Validate(); err != nil {
		return err
	}
	for _, a := range []struct{ name, value string }{{"LISTEN_ADDR", c.ListenAddr}, {"SMTP_ADDR", c.SMTPAddr}, {"CLIENT_HOST_ADDR", c.ClientHostAddr}} {
		if _, _, err := net.SplitHostPort(a.value); err != nil && (a.value != "" || a.name != "CLIENT_HOST_ADDR") {
			return fmt.Errorf("%s: %q is not host:port", a.name, a.value)
		}
	}
	if a, err := mail.ParseAddress(c.MailFrom); err != nil || a.Address != c.MailFrom {
		return fmt.Errorf("MAIL_FROM: %q is not an email address", c.MailFrom)
	}
	for _, o := range c.AllowedOrigins {
		if err := config.CheckWebOrigin("ALLOWED_ORIGINS", o); err != nil {
			return err
		}
	}
	if c.KeyLifetime < keys.MinLifetime {
		return fmt.Errorf("KEY_LIFETIME: %s is shorter than %s, the shortest in which a key can be published and used", c.KeyLifetime, keys.MinLifetime)
	}
	if c.AuditRetention <= 0 {
		return fmt.Errorf("AUDIT_RETENTION: %s is not above zero", c.AuditRetention)
	}
	for _, l := range []struct {
		name  string
		value int
	}{{"AUDIT_MAX_EVENTS", c.AuditMaxEvents}, {"PASSCODES_PER_ADDRESS", c.PasscodesPerAddress}, {"PASSCODES_PER_IP", c.PasscodesPerIP}, {"PASSCODES_TOTAL", c.PasscodesTotal},
		{"AUTHORIZATIONS_PER_IP", c.AuthorizationsPerIP}, {"REGISTRATIONS_PER_IP", c.RegistrationsPerIP}, {"REGISTRATIONS_TOTAL", c.RegistrationsTotal}} {
		if l.value < 1 {
			return fmt.Errorf("%s: %d is not a positive number", l.name, l.value)
		}
	}
	return nil
}
