package authserver

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/internal/revocation"
)

// listen opens the stream and returns its answer.
func (h *harness) listen(header ...string) *http.Response {
	h.Helper()
	resp, err := h.newBrowser().Do(h.request(http.MethodGet, "/revocations", "", header...))
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { resp.Body.Close() })
	return resp
}

// events returns the next events of a stream.
func (h *harness) events(s *bufio.Scanner, n int) (got []revocation.Event) {
	h.Helper()
	for len(got) < n && s.Scan() {
		e, ok, err := revocation.Parse(s.Text())
		if err != nil {
			h.Fatal(err)
		}
		if ok {
			got = append(got, e)
		}
	}
	return got
}

// TestRevocations: attacks R6 and R11. Whatever takes something back says so on
// the stream before it is answered.
func TestRevocations(t *testing.T) {
	h := newHarness(t)
	stream := h.listen(basic("gateway")...)
	if stream.StatusCode != http.StatusOK || stream.Header.Get("Content-Type") != revocation.MediaType || stream.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", stream.StatusCode, stream.Header)
	}
	lines := bufio.NewScanner(stream.Body)
	client := h.agent()
	registered := h.registerRaw(map[string]any{"redirect_uris": []string{callback}, "token_endpoint_auth_method": "none"}).JSON
	user := h.user(john).ID
	issued := func() (tokens pair, jti, grant string) {
		tokens = pairOf(h.tokens(client, john))
		_, claims := claimsOf(t, h.phantom(tokens.access))
		return tokens, claims["jti"].(string), claims["grant_id"].(string)
	}
	revoke := func(token string) {
		h.Helper()
		if a := h.post(h.newBrowser(), "/revoke", url.Values{"client_id": {client}, "token": {token}}); a.Status != http.StatusOK {
			t.Fatalf("revoke: %d %s", a.Status, a.Body)
		}
	}
	manage := func() string { return "/register/" + registered["client_id"].(string) }
	tests := []struct {
		name string
		end  func() revocation.Event
	}{
		{"access token", func() revocation.Event {
			tokens, jti, _ := issued()
			revoke(tokens.access)
			return revocation.Event{Kind: revocation.Token, ID: jti}
		}},
		{"refresh token", func() revocation.Event {
			tokens, _, grant := issued()
			revoke(tokens.refresh)
			return revocation.Event{Kind: revocation.Grant, ID: grant}
		}},
		{"code replayed", func() revocation.Event {
			code := h.code(h.authorizeQuery(client), john)
			first := h.post(h.newBrowser(), "/token", redeemForm(client, code))
			_, claims := claimsOf(t, h.phantom(first.JSON["access_token"].(string)))
			h.post(h.newBrowser(), "/token", redeemForm(client, code))
			return revocation.Event{Kind: revocation.Grant, ID: claims["grant_id"].(string)}
		}},
		{"refresh token sent again", func() revocation.Event {
			tokens, _, _ := issued()
			_, claims := claimsOf(t, h.phantom(pairOf(h.refresh(client, tokens.refresh)).access))
			h.refresh(client, tokens.refresh)
			return revocation.Event{Kind: revocation.Token, ID: claims["jti"].(string)}
		}},
		{"refresh token reused", func() revocation.Event {
			tokens, _, grant := issued()
			h.refresh(client, tokens.refresh)
			h.wait(time.Minute)
			h.refresh(client, tokens.refresh)
			return revocation.Event{Kind: revocation.Grant, ID: grant}
		}},
		{"consent", func() revocation.Event {
			if err := h.grants.RevokeConsent(t.Context(), user, client); err != nil {
				t.Fatal(err)
			}
			return revocation.Event{Kind: revocation.User, ID: user}
		}},
		{"user", func() revocation.Event {
			if err := h.login.Suspend(t.Context(), h.userID(boss), user); err != nil {
				t.Fatal(err)
			}
			return revocation.Event{Kind: revocation.User, ID: user}
		}},
		{"client deleted", func() revocation.Event {
			a := h.do(h.newBrowser(), h.request(http.MethodDelete, manage(), "", "Authorization", "Bearer "+registered["registration_access_token"].(string)))
			if a.Status != http.StatusNoContent {
				t.Fatalf("delete: %d %s", a.Status, a.Body)
			}
			return revocation.Event{Kind: revocation.Client, ID: registered["client_id"].(string)}
		}},
	}
	for _, tt := range tests {
		want := []revocation.Event{tt.end()}
		if d := cmp.Diff(want, h.events(lines, 1)); d != "" {
			t.Errorf("R11 %s (-want +got):\n%s", tt.name, d)
		}
	}
}

// TestRevocationsAreForServices: attack R11. The stream says who uses what.
func TestRevocationsAreForServices(t *testing.T) {
	h := newHarness(t)
	for name, tt := range map[string]struct {
		header []string
		status int
		code   string
	}{
		"nobody":        {nil, 401, "invalid_client"},
		"wrong secret":  {[]string{"Authorization", "Basic Z2F0ZXdheTp3cm9uZw=="}, 401, "invalid_client"},
		"a web client":  {basic("stocks-web"), 400, "unauthorized_client"},
		"a bearer":      {[]string{"Authorization", "Bearer x"}, 401, "invalid_client"},
		"gateway":       {basic("gateway"), 200, ""},
		"MCP server":    {basic("stocksmcp"), 200, ""},
		"stocks report": {basic("stocks-report"), 400, "unauthorized_client"},
	} {
		resp := h.listen(tt.header...)
		if tt.status == http.StatusOK && resp.StatusCode == http.StatusOK {
			continue // it does not end
		}
		refused := answer{Status: resp.StatusCode, Header: resp.Header}
		if err := json.NewDecoder(resp.Body).Decode(&refused.JSON); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantError(h, name, refused, tt.status, tt.code)
	}
}

// TestRevocationStreamsAreBounded: and whoever gets none is told to come again.
func TestRevocationStreamsAreBounded(t *testing.T) {
	h := newHarness(t)
	for range maxRevocationStreams {
		sub, err := h.revoked.Subscribe()
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
	}
	if resp := h.listen(basic("gateway")...); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %v", resp.StatusCode, resp.Header)
	}
}

// TestRevocationStreamOutlivesRequests: the server's limits for requests do not
// end a stream, and the server's end does, at once.
func TestRevocationStreamOutlivesRequests(t *testing.T) {
	h := newHarness(t)
	srv := httptest.NewUnstartedServer(h.routes())
	srv.Config.ReadTimeout = revocation.Heartbeat / 2
	srv.Start()
	defer srv.Close() // waits for its requests
	req := h.request(http.MethodGet, "/revocations", "", basic("gateway")...)
	req.URL, _ = url.Parse(srv.URL + "/revocations")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for i := range 4 { // the first comes at once, and an empty line after each
		if !lines.Scan() {
			t.Fatalf("the stream ended after %d lines: %v", i, lines.Err())
		}
	}
	h.revoked.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, resp.Body)
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the stream outlives the server")
	}
}

// TestFollower: attack R11. Our own reader at the real endpoint: what was
// revoked does not hold any more when the one who revoked it is answered, or
// a moment later.
func TestFollower(t *testing.T) {
	h := newHarness(t)
	f := &revocation.Follower{
		URL: h.url("/revocations"), ClientID: "stocksmcp", Secret: "client-stocksmcp" + secretFor, Client: h.newBrowser(),
		Watch: revocation.NewWatch(time.Minute, time.Now), Log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	defer func() { cancel(); <-done }()
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("never " + what)
			}
		}
	}
	until("connected", func() bool { return f.Watch.State() == "connected" })
	user := h.user(john).ID
	asked := f.Watch.Ask()
	if err := h.login.Suspend(t.Context(), h.userID(boss), user); err != nil {
		t.Fatal(err)
	}
	until("told", func() bool { return !f.Watch.Holds(asked, revocation.Subject{User: user}, time.Now()) })
}
