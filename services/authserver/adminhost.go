package authserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"demo.example/services/authserver/admin"
	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/config"
)

// handler serves two hosts: the administration has one of its own, so that
// neither side's cookies, pages or forms mean anything at the other. Whatever
// name this server is called by otherwise, it is the authorization server.
func (s *server) handler() (http.Handler, error) {
	login := s.routes()
	administration := http.NotFoundHandler()
	if _, ok := s.clients.Presets[clients.Administration]; ok { // a list of clients of one's own may do without it
		var err error
		if administration, err = s.newAdmin(); err != nil {
			return nil, err
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hostname(r.Host) == "admin."+s.cfg.Domain {
			administration.ServeHTTP(w, r)
			return
		}
		login.ServeHTTP(w, r)
	}), nil
}

// hostname is the name in a Host header, as it is compared.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

func (s *server) newAdmin() (http.Handler, error) {
	kek, err := config.ReadSecret("SECRETS_DIR", filepath.Join(s.cfg.SecretsDir, "key-encryption-key"))
	if err != nil {
		return nil, err
	}
	key, err := keys.Derive(kek, "administration")
	if err != nil {
		return nil, err
	}
	secret, err := config.ReadSecret("SECRETS_DIR", filepath.Join(s.cfg.SecretsDir, "client-admin"))
	if err != nil {
		return nil, err
	}
	return admin.New(admin.Config{
		Site: s.cfg.Site, Secret: secret, Key: key, Back: s.back,
		Login: s.login, Clients: s.clients, Grants: s.grants, Keys: s.keys, Trail: s.trail, Totals: s.db,
		Limiters: []admin.Limiter{
			{Name: "Authorization requests", Key: "a network", Counted: "requests", Limiter: s.requests},
			{Name: "Registrations", Key: "a network", Counted: "registrations and changes of one", Limiter: s.registrations},
			{Name: "Wrong codes of devices, of a network", Key: "a network", Limiter: s.userCodes.networks},
			{Name: "Wrong codes of devices, of a site", Key: "a site", Limiter: s.userCodes.sites},
			{
				Name:    "Wrong codes of devices, of everybody",
				Counted: "chances to hit a device: a wrong code counts once for each that waited when it was typed. When they are used up, nobody can connect a device",
				Limiter: s.userCodes.all,
			},
		},
		Registrations: s.registrations,
		Describe:      s.describe, Style: styleSheet, Static: static(), Log: s.log, Now: s.now,
	}), nil
}

// describe says to an administrator what a page says to everybody.
func (s *server) describe(c store.Client) admin.Description {
	v := s.viewOf(c, "")
	return admin.Description{Name: v.Name, FullName: v.FullName, Cut: v.Name != v.FullName, Badge: v.Badge, Known: v.Known, Trust: v.Trust, Warnings: v.Warnings}
}

// newBack returns the HTTP client with which the administration calls the
// issuer, and nobody else. It goes by the public name, as any other client
// does; addr is where the deployment's public hosts are reached, empty for
// wherever the name leads.
func newBack(roots *x509.CertPool, addr string) *http.Client {
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	return &http.Client{
		Timeout: 5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the issuer must not redirect")
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, named string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, cmp.Or(addr, named))
			},
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true, // it is asked a few times a day
		},
	}
}
