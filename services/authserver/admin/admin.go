// Package admin is the administration: pages on a host of their own, for users
// with the role of an administrator. Start reading at routes.go.
//
// It is an HTTP layer beside that of package authserver, over the same use
// cases (login, clients, grants, keys) and the audit trail. It finds out who
// its user is as any other application does, as an OpenID Connect client of
// the authorization server (oidc.go, signin.go), and what the user may do from
// the store, at every request (session.go). Whatever changes something is shown
// before, confirmed, and recorded (change.go).
package admin

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/limits"
	"demo.example/services/authserver/login"
	"demo.example/services/authserver/store"
	"demo.example/services/authserver/trail"
	"demo.example/services/internal/config"
	"demo.example/services/internal/site"
)

// Config is what the administration works on.
type Config struct {
	Site   site.Site
	Secret config.Secret // of the client clients.Administration
	Key    []byte        // of the sign-ins that are under way, and of the forms
	Back   *http.Client  // for calls to the issuer

	Login   *login.Service
	Clients *clients.Registry
	Grants  *grants.Service
	Keys    *keys.Ring
	Trail   *trail.Trail
	Totals  interface {
		Totals(ctx context.Context, now time.Time) (store.Totals, error)
	}
	Limiters      []Limiter
	Registrations *limits.Limiter // one of them, for the policy

	// Describe says what is known of a client, as the other pages do.
	Describe func(store.Client) Description
	Style    func() string // address of the style sheet
	Static   http.Handler  // serves it

	Log *slog.Logger
	Now func() time.Time
}

// Limiter is a limit that is shown.
type Limiter struct {
	Name    string
	Key     string // what is counted apart; empty where nothing is
	Counted string // what is counted in all; empty where that limits nothing
	*limits.Limiter
}

// Description is a client as a page shows it: nothing in it can pass for the
// page's own words.
type Description struct {
	Name, FullName string // short, and whole
	Cut            bool   // they are not the same
	Badge          string
	Known          bool // the badge is a good one
	Trust          string
	Warnings       []string
}

// Server serves the administration.
type Server struct {
	Config
	oidc *relyingParty
}

// New returns the handler of the administration's host.
func New(cfg Config) http.Handler {
	s := &Server{Config: cfg}
	s.oidc = &relyingParty{issuer: cfg.Site.Issuer(), redirect: cfg.Site.Origin("admin") + "/admin/callback", secret: cfg.Secret, back: cfg.Back}
	return s.routes()
}

// keyed returns a text that nobody else can make of the parts.
func (s *Server) keyed(parts ...string) string {
	h := hmac.New(sha256.New, s.Key)
	h.Write([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
