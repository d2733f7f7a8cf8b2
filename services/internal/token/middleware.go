package token

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/problem"
)

// Guard lets requests through to a protected resource that carry a token for
// it (RFC 6750 §2.1), and challenges all others.
type Guard struct {
	Verifier         *Verifier
	Scope            string // named in the challenge: what a client should ask for
	ResourceMetadata string // URL of the resource's metadata (RFC 9728)
	Log              *slog.Logger
}

type claimsKey struct{}
type rawKey struct{}

// ClaimsFrom returns the claims of the request that ctx belongs to, or nil
// when no Guard is in front of it.
func ClaimsFrom(ctx context.Context) *Claims {
	claims, _ := ctx.Value(claimsKey{}).(*Claims)
	return claims
}

// RawFrom returns the token itself. It is for a token exchange and nothing
// else: it must not travel on.
func RawFrom(ctx context.Context) string {
	raw, _ := ctx.Value(rawKey{}).(string)
	return raw
}

// Protect returns next behind the guard.
func (g Guard) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, code := bearer(r.Header)
		if raw == "" {
			g.refuse(w, r, code, "no usable Authorization header")
			return
		}
		claims, err := g.Verifier.Verify(r.Context(), raw)
		switch {
		case errors.Is(err, ErrUnavailable):
			g.Log.Error("cannot judge token", "request_id", httpserver.RequestID(r.Context()), "error", err)
			problem.Write(w, r, problem.Unavailable("The authorization server"))
			return
		case err != nil:
			g.refuse(w, r, "invalid_token", err.Error())
			return
		}
		ctx := context.WithValue(r.Context(), claimsKey{}, claims)
		ctx = context.WithValue(ctx, rawKey{}, raw)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// bearer returns the one bearer token of a request, or the error code of the
// challenge to answer with: none where the client tried no token (RFC 6750
// §3.1), invalid_request where it cannot be said which one it meant.
func bearer(h http.Header) (raw, code string) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", ""
	}
	scheme, raw, _ := strings.Cut(values[0], " ")
	switch {
	case len(values) > 1:
		return "", "invalid_request"
	case !strings.EqualFold(scheme, "Bearer"):
		return "", ""
	case raw == "" || strings.ContainsAny(raw, " ,\t"):
		return "", "invalid_request"
	}
	return raw, ""
}

// refuse answers with a challenge that says how to get a token, and logs why.
func (g Guard) refuse(w http.ResponseWriter, r *http.Request, code, why string) {
	g.Log.Info("refused", "request_id", httpserver.RequestID(r.Context()), "error", code, "reason", why)
	details := &problem.Details{
		Status: http.StatusUnauthorized,
		Title:  "Sign-in required",
		Detail: "Get a new access token for this resource and repeat the request with it.",
	}
	if code == "invalid_request" {
		details = &problem.Details{
			Status: http.StatusBadRequest,
			Title:  "Malformed authorization",
			Detail: "Send exactly one header `Authorization: Bearer <token>`.",
		}
	}
	challenge := oauth.Challenge{Error: code, Scope: g.Scope, ResourceMetadata: g.ResourceMetadata}
	w.Header().Set("WWW-Authenticate", challenge.String())
	problem.Write(w, r, details)
}
