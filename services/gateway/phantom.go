package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"demo.example/services/internal/audit"
	"demo.example/services/internal/dpop"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/problem"
	"demo.example/services/internal/revocation"
)

// A phantom is what stands behind an opaque token: the JWT for the services
// and, out of it, what the gateway itself decides by and logs.
type phantom struct {
	JWT      string
	Subject  string
	ClientID string
	GrantID  string // the user's approval that the token came of
	TokenID  string // of the JWT (jti)
	Scope    string
	Expires  time.Time
	Key      string // that the token is bound to, a thumbprint; empty for a bearer token
}

// hangs is what ends with the token when it is revoked.
func (p phantom) hangs() revocation.Subject {
	return revocation.Subject{Token: p.TokenID, Grant: p.GrantID, User: p.Subject, Client: p.ClientID}
}

type phantomKey struct{}

// phantomOf returns the phantom of the request that ctx belongs to.
func phantomOf(ctx context.Context) (phantom, bool) {
	p, ok := ctx.Value(phantomKey{}).(phantom)
	return p, ok
}

// phantomTokens lets a request pass to Next when it carries a good access
// token for the resource, and puts its phantom into the request's context.
// Whoever is refused learns how to get a token (RFC 9728 §5.1), and nothing
// about the one that they have.
type phantomTokens struct {
	Resource    resource
	MetadataURL string
	Tokens      *tokenCache
	Origin      string // of the resource, as the public knows it
	Proofs      *dpop.Checker
	Quotas      quotas
	Audit       audit.Recorder
	Log         *slog.Logger
	Next        http.Handler
}

// ServeHTTP implements http.Handler.
func (p *phantomTokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, bad := presentedToken(r)
	if bad != nil {
		if b := p.Quotas.Strangers.take(network(r)); b.wait > 0 {
			p.tooMany(w, r, token, phantom{}, b, false)
			return
		}
		p.log(r, token, phantom{}, "deny", bad.reason, false)
		p.challenge(w, bad.code, bad.description)
		return
	}
	found, cached, err := p.find(r, token)
	if err == nil {
		err = p.admit(w, r, token, found) // dpop.go
	}
	var refused refusal
	var badProof *oauth.Error
	var over overQuota
	switch {
	case errors.As(err, &over):
		p.tooMany(w, r, token, found, over.balance, cached)
	case errors.As(err, &refused):
		p.log(r, token, found, "deny", refused.Error(), cached)
		p.challenge(w, "invalid_token", badToken)
	case errors.As(err, &badProof):
		p.log(r, token, found, "deny", badProof.Error(), cached)
		p.challenge(w, badProof.Code, badProof.Description)
	case err != nil:
		// An outage must not look like an expired login.
		p.log(r, token, found, "unavailable", err.Error(), cached)
		problem.Write(w, r, problem.Unavailable("The authorization server"))
	default:
		p.serve(w, r, token, found, cached)
	}
}

// find returns what stands behind a token, and whether it was known. The
// error is an overQuota when too many bad tokens came from the same network.
// Good ones that are known pass all the same, and so does the question whether
// one that was good still is.
func (p *phantomTokens) find(r *http.Request, token string) (found phantom, cached bool, err error) {
	found, cached, err = p.Tokens.known(token, p.Resource.ID)
	switch {
	case cached && err == nil:
		return found, true, nil
	case cached:
		return found, true, p.failed(r, err)
	case p.Tokens.wasGood(token, p.Resource.ID):
		return p.Tokens.get(r.Context(), token, p.Resource.ID)
	}
	from := network(r)
	if b := p.Quotas.Strangers.take(from); b.wait > 0 {
		return phantom{}, false, overQuota{b}
	}
	asker := stranger(from)
	if err = p.Quotas.Asked.take(1, asker); err == nil {
		defer p.Quotas.Asked.giveBack(1, asker)
		found, cached, err = p.Tokens.get(r.Context(), token, p.Resource.ID)
	}
	if _, refused := errors.AsType[refusal](err); !refused {
		p.Quotas.Strangers.giveBack(from)
	}
	if _, over := errors.AsType[overShare](err); over {
		err = overQuota{balance{p.Quotas.Strangers, 0, time.Second}}
	}
	return found, cached, err
}

// serve lets a good token pass, if its scope allows.
func (p *phantomTokens) serve(w http.ResponseWriter, r *http.Request, token string, found phantom, cached bool) {
	if !oauth.HasScope(found.Scope, p.Resource.Scope) {
		p.log(r, token, found, "deny", "insufficient scope", cached)
		p.challenge(w, "insufficient_scope", "The access token lacks a scope; ask for the scopes named here.")
		return
	}
	p.log(r, token, found, "allow", "", cached)
	p.Next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), phantomKey{}, found)))
}

// tooMany refuses a request for which there is no room (RFC 6585 §4).
func (p *phantomTokens) tooMany(w http.ResponseWriter, r *http.Request, token string, found phantom, b balance, cached bool) {
	p.log(r, token, found, "deny", "too many requests of the "+b.name, cached)
	b.announce(w.Header())
	problem.Write(w, r, &problem.Details{
		Status:     http.StatusTooManyRequests,
		Title:      "Too many requests",
		Detail:     "The requests of this " + b.name + " are more than it is allowed. Your sign-in is still good: wait as long as Retry-After says.",
		RetryAfter: time.Duration(seconds(b.wait)) * time.Second,
	})
}

// challenge refuses. The body repeats what the header says, for clients that
// show bodies to people.
func (p *phantomTokens) challenge(w http.ResponseWriter, code, description string) {
	c := oauth.Challenge{Error: code, Scope: p.Resource.Scope, ResourceMetadata: p.MetadataURL}
	body := map[string]string{"error": "unauthorized", "error_description": description}
	if code != "" {
		c.Description = description
		body["error"] = code
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Add("Vary", "Authorization")
	c, proof := dpop.Challenges(c)
	c.Write(w, proof)
	_ = json.NewEncoder(w).Encode(body) // a client that hung up cannot be told so
}

// log writes one line for each decision. The fingerprint tells tokens apart
// and is no use to anyone who reads it.
func (p *phantomTokens) log(r *http.Request, token string, found phantom, decision, reason string, cached bool) {
	level := slog.LevelInfo
	if decision == "unavailable" {
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("request_id", requestID(r)), slog.String("decision", decision),
	}
	for _, a := range [][2]string{{"reason", reason}, {"sub", found.Subject}, {"client_id", found.ClientID}, {"grant_id", found.GrantID}} {
		if a[1] != "" {
			attrs = append(attrs, slog.String(a[0], a[1]))
		}
	}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		attrs = append(attrs, slog.String("token", hex.EncodeToString(sum[:4])), slog.Bool("cached", cached))
	}
	p.Log.LogAttrs(r.Context(), level, "token", attrs...)
	p.record(r, found, decision, reason)
}

// record tells the audit trail who was turned away. What passes the service
// behind records; who comes without a token only asks where to get one.
func (p *phantomTokens) record(r *http.Request, found phantom, decision, reason string) {
	e := audit.Event{
		Kind: audit.Access, Decision: audit.Refused, Reason: reason, Audience: p.Resource.ID,
		Grant: found.GrantID, Token: found.TokenID, User: found.Subject, Client: found.ClientID, Scope: found.Scope,
	}
	switch {
	case decision == "unavailable":
		e.Decision = audit.Failed
	case decision != "deny" || reason == noToken:
		return
	}
	p.Audit.Record(r.Context(), e)
}

// maxToken bounds an opaque token, in bytes.
const maxToken = 512

// token68 is the form of a bearer token (RFC 6750 §2.1, b64token).
var token68 = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// unusable is a request without a token that could be asked about.
type unusable struct {
	code        string // RFC 6750 §3.1; empty when there is no bearer token at all
	description string
	reason      string // for the log
}

// presentedToken returns the one opaque token that the request carries in the
// one way that is allowed (RFC 6750 §2.1), or why there is none.
func presentedToken(r *http.Request) (string, *unusable) {
	headers := r.Header["Authorization"]
	token, bad := bearerToken(headers)
	if r.URL.RawQuery != "" && r.URL.Query().Has("access_token") {
		// URLs end up in histories and logs (RFC 9700 §4.3.2).
		if len(headers) > 0 {
			return "", &unusable{"invalid_request", "Send the access token once, in the Authorization header alone.", "token in query and header"}
		}
		return "", &unusable{"", "Send the access token in the Authorization header, never in a URL.", "token in query"}
	}
	return token, bad
}

// badToken is said of every token that does not pass, whatever the reason.
const badToken = "The access token is unknown, expired or revoked, or is not of the type that it was sent as; sign in again."

// noToken is how every client begins.
const noToken = "no token"

// bearerToken reads the Authorization headers of a request.
func bearerToken(headers []string) (string, *unusable) {
	malformed := &unusable{"invalid_request", "Send one Authorization header: the word Bearer (or DPoP), a space, the access token.", "malformed header"}
	if len(headers) > 1 {
		return "", malformed
	}
	if len(headers) == 0 {
		return "", &unusable{"", "An access token is needed; resource_metadata says where to get one.", noToken}
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, dpop.Scheme) {
		return "", &unusable{"", "An access token of type Bearer or DPoP is needed; resource_metadata says where to get one.", "other scheme"}
	}
	token = strings.TrimLeft(token, " ")
	switch {
	case !token68.MatchString(token):
		return "", malformed
	case len(token) > maxToken || strings.Count(token, ".") >= 2:
		// Only opaque tokens are issued to clients. One that holds a JWT got
		// it where no client should, so it is not even asked about.
		return "", &unusable{"invalid_token", badToken, "not an opaque token"}
	}
	return token, nil
}
