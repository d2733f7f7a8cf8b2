package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuota("user", 60, time.Now) // one a second
		for left := 59; left >= 0; left-- {
			if b := q.take("john"); b.wait != 0 || b.left != left {
				t.Fatalf("left: %d, wait: %s, want %d and none", b.left, b.wait, left)
			}
		}
		if b := q.take("john"); b.wait != time.Second || b.left != 0 {
			t.Errorf("above the quota: left %d, wait %s", b.left, b.wait)
		}
		if b := q.take("jane"); b.wait != 0 {
			t.Error("one user's requests count for another")
		}
		time.Sleep(time.Second)
		if b := q.take("john"); b.wait != 0 {
			t.Errorf("a second later: wait %s", b.wait)
		}
		if b := q.take("john"); b.wait == 0 {
			t.Error("two came back in a second, want one")
		}
		q.giveBack("john")
		if b := q.take("john"); b.wait != 0 {
			t.Error("what was given back cannot be used")
		}
		time.Sleep(time.Hour)
		if b := q.take("john"); b.left != 59 {
			t.Errorf("an hour later %d are left, want no more than a window's", b.left)
		}
	})
}

func TestQuotaIsBounded(t *testing.T) {
	q := newQuota("address", 10, time.Now)
	for i := range maxCounted + 1000 {
		q.take(fmt.Sprint(i))
	}
	if got := q.full.Len(); got != maxCounted {
		t.Errorf("R17 %d addresses are counted, want at most %d", got, maxCounted)
	}
}

func TestNetwork(t *testing.T) {
	tests := map[string]string{
		"192.0.2.1:1234":                "192.0.2.1",
		"[::ffff:192.0.2.1]:1234":       "::ffff:192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:1234":   "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::]:1":       "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":              "fe80::/64",
		"":                              "",
		"somewhere that is no address:": "somewhere that is no address",
	}
	for remote, want := range tests {
		if got := network(&http.Request{RemoteAddr: remote}); got != want {
			t.Errorf("%q: got %q, want %q", remote, got, want)
		}
	}
}

// TestQuotasOfTokens uses up the quota of a user, and then the one of a
// client, and reads what the answers say about it.
func TestQuotasOfTokens(t *testing.T) {
	d := start(t, "REQUESTS_PER_USER=3", "REQUESTS_PER_CLIENT=5", "TOKEN_CACHE_TTL=1m")
	for _, user := range []string{"john", "jane", "ann"} {
		d.issue(user, map[string]any{"sub": user, "grant_id": "grant-of-" + user})
	}
	type answer struct {
		Status                       int
		Policy, Limit, Wait, Problem string
	}
	const page = "http://localhost:6274"
	ask := func(user string) answer {
		resp, body := d.do(t, "GET", testSite.MCPResource(), "", "Authorization", "Bearer "+user, "Origin", page)
		for _, name := range []string{"RateLimit", "RateLimit-Policy", "Retry-After"} {
			if !strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), name) {
				t.Errorf("pages cannot read %s", name)
			}
		}
		a := answer{Status: resp.StatusCode, Policy: resp.Header.Get("RateLimit-Policy"), Limit: resp.Header.Get("RateLimit"), Wait: resp.Header.Get("Retry-After")}
		if _, after, ok := strings.Cut(body, `"title":"`); ok {
			a.Problem, _, _ = strings.Cut(after, `"`)
		}
		return a
	}
	const ofUser, ofClient, tooMany = `"user";q=3;w=60`, `"client";q=5;w=60`, "Too many requests"
	for i, step := range []struct {
		user string
		want answer
	}{
		{"john", answer{200, ofUser, `"user";r=2;t=20`, "", ""}},
		{"john", answer{200, ofUser, `"user";r=1;t=20`, "", ""}},
		{"john", answer{200, ofUser, `"user";r=0;t=20`, "", ""}},
		{"john", answer{429, ofUser, `"user";r=0;t=20`, "20", tooMany}},
		{"jane", answer{200, ofUser, `"user";r=2;t=20`, "", ""}},
		{"jane", answer{200, ofUser, `"user";r=1;t=20`, "", ""}},
		{"jane", answer{429, ofClient, `"client";r=0;t=12`, "12", tooMany}},
		{"ann", answer{429, ofClient, `"client";r=0;t=12`, "12", tooMany}},
	} {
		if diff := cmp.Diff(step.want, ask(step.user)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
	if n := len(withoutIntrospection(d.mcp.taken())); n != 5 {
		t.Errorf("%d requests were forwarded, want 5", n)
	}
	lines := d.logLines("token")
	last := lines[len(lines)-1]
	delete(last, "time")
	delete(last, "request_id")
	delete(last, "token")
	want := map[string]any{
		"level": "INFO", "msg": "token", "service": "gateway", "resource": testSite.MCPResource(), "decision": "deny", "reason": "too many requests of the client",
		"sub": "ann", "client_id": "agent", "grant_id": "grant-of-ann", "cached": false,
	}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Errorf("logged (-want +got):\n%s", diff)
	}
}

// TestMadeUpTokens sends tokens that nobody issued: the authorization server
// is asked about a bounded number of them, and whoever has a good token that
// is known does not notice.
func TestMadeUpTokens(t *testing.T) {
	d := start(t, "REFUSALS_PER_IP=10", "TOKEN_CACHE_TTL=1m")
	d.issue("good", nil)
	d.issue("fresh", nil)
	ask := func(headers ...string) (int, http.Header) {
		resp, _ := d.do(t, "GET", testSite.MCPResource(), "", headers...)
		return resp.StatusCode, resp.Header
	}
	for range 20 { // a token that turns out good is not counted, asked about or not
		if status, _ := ask("Authorization", "Bearer good"); status != http.StatusOK {
			t.Fatalf("a good token: got %d", status)
		}
	}
	d.asked()
	limited := 0
	for i := range 200 {
		status, header := ask("Authorization", fmt.Sprint("Bearer made-up-", i))
		switch {
		case status == http.StatusTooManyRequests && header.Get("Retry-After") == "6" && header.Get("RateLimit") == `"address";r=0;t=6`:
			limited++
		case status != http.StatusUnauthorized:
			t.Fatalf("R17 got %d %v", status, header)
		}
	}
	if asked := d.asked(); asked > 12 || limited < 188 {
		t.Errorf("R17 the authorization server was asked about %d of 200 made-up tokens, want about 10; %d were refused for their number", asked, limited)
	}
	if status, _ := ask("Authorization", "Bearer good"); status != http.StatusOK {
		t.Errorf("R17 a good token that is known: got %d", status)
	}
	if status, _ := ask("Authorization", "Bearer fresh"); status != http.StatusTooManyRequests || d.asked() != 0 {
		t.Errorf("R17 a token that is not known: got %d, want that it waits", status)
	}
	if status, _ := ask(); status != http.StatusTooManyRequests {
		t.Errorf("R17 without a token: got %d, want that it waits as well", status)
	}
}

// TestImpatientStrangers: attack R17. Who hangs up while the authorization
// server is asked about a made-up token is counted all the same.
func TestImpatientStrangers(t *testing.T) {
	const quota, tries = 5, 20
	d := start(t, fmt.Sprintf("REFUSALS_PER_IP=%d", quota))
	asked, gone := make(chan struct{}), make(chan struct{})
	for i := range tries {
		d.answer(fmt.Sprint("made-up-", i), func(w http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			<-gone
			answerWith(http.StatusOK, "application/json", `{"active":false}`)(w, r)
		})
	}
	limited := 0
	for i := range tries {
		ctx, hangUp := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, testSite.MCPResource(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", fmt.Sprint("Bearer made-up-", i))
		answered := make(chan *http.Response, 1)
		go func() {
			resp, err := d.client.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			answered <- resp
		}()
		select {
		case <-asked:
			hangUp()
			<-answered
			gone <- struct{}{}
		case resp := <-answered:
			if resp.StatusCode == http.StatusTooManyRequests {
				limited++
			}
		}
		hangUp()
	}
	if n := d.asked(); n != quota || limited != tries-quota {
		t.Errorf("R17 the authorization server was asked about %d tokens, want %d; %d were refused for their number", n, quota, limited)
	}
	refused := 0
	for _, line := range d.logLines("token") {
		if line["reason"] == "not active" {
			refused++
		}
	}
	if refused != quota {
		t.Errorf("R17 %d refusals were noted, want %d", refused, quota)
	}
}

// TestStrangersAskAPart: attack R17. Tokens that are not known, of one network,
// take a part of the way to the authorization server.
func TestStrangersAskAPart(t *testing.T) {
	d := start(t, "UPSTREAM_CONCURRENCY=8", "TOKEN_CACHE_TTL=1m") // 2 for an address
	d.issue("known", nil)
	asked, answer := make(chan struct{}), make(chan struct{})
	for i := range 2 {
		d.answer(fmt.Sprint("made-up-", i), func(w http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			<-answer
			answerWith(http.StatusOK, "application/json", `{"active":false}`)(w, r)
		})
	}
	ask := func(token string) *http.Response {
		resp, _ := d.do(t, "GET", testSite.MCPResource(), "", "Authorization", "Bearer "+token)
		return resp
	}
	ask("known")
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			if resp := ask(fmt.Sprint("made-up-", i)); resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("got %d", resp.StatusCode)
			}
		})
		<-asked
	}
	if resp := ask("made-up-too"); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("R17 one more: got %d %v, want 429 with Retry-After", resp.StatusCode, resp.Header)
	}
	if resp := ask("known"); resp.StatusCode != http.StatusOK {
		t.Errorf("R17 a known token: got %d", resp.StatusCode)
	}
	close(answer)
	wg.Wait()
	if resp := ask("made-up-too"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("afterwards: got %d", resp.StatusCode)
	}
}

// TestStrangersLockNobodyOut: attack R17. A token that was good is asked about
// again, whatever else comes from its network, until it is refused.
func TestStrangersLockNobodyOut(t *testing.T) {
	d := start(t, "REFUSALS_PER_IP=2", "TOKEN_CACHE_TTL=1ns") // nothing in the cache is ever new enough
	d.issue("good", nil)
	ask := func(authorization string) int {
		resp, _ := d.do(t, "GET", testSite.MCPResource(), "", "Authorization", authorization)
		return resp.StatusCode
	}
	for i, step := range []struct {
		authorization string
		want          int
	}{
		{"Bearer good", 200}, {"Basic eDp5", 401}, {"Basic eDp5", 401}, {"Basic eDp5", 429},
		{"Bearer good", 200}, {"Bearer good", 200}, {"Bearer unknown", 429},
	} {
		if got := ask(step.authorization); got != step.want {
			t.Errorf("R17 step %d, %s: got %d, want %d", i, step.authorization, got, step.want)
		}
	}
	d.answer("good", nil)
	if first, second := ask("Bearer good"), ask("Bearer good"); first != 401 || second != 429 {
		t.Errorf("R17 when it is refused: got %d and %d, want 401 and then to wait like a stranger", first, second)
	}
}
