package authserver

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"demo.example/services/authserver/grants"
)

// worker is a client with a signed-in user, who drives flows through a server
// that dies now and then.
type worker struct {
	*process
	rng           *rand.Rand
	client        *http.Client
	stop          *atomic.Bool
	families      []*family
	lost, rescued int // answers that did not come; refreshes that came to an end all the same
}

// family is what a client was told about one code and all that came of it.
type family struct {
	code    string
	current pair
	traded  []string // refresh tokens that got an answer, oldest first
	live    []string // access tokens that must be active
	dead    []string // access tokens that must not
	ended   bool     // whatever it was, it must not be active any more
}

const inspector, inspectorCallback = "mcp-inspector", "http://localhost:6274/oauth/callback"

func newWorker(p *process, rng *rand.Rand, stop *atomic.Bool) *worker {
	p.t.Helper()
	w := &worker{process: p, rng: rng, client: p.browser(), stop: stop}
	page, _ := w.page("/authorize?"+w.query(), nil)
	form := fields(page)
	form.Set("email", john)
	page, _ = w.page("/signin", form)
	form = fields(page)
	form.Set("passcode", p.inbox.take(p.t))
	if page, _ = w.page("/passcode", form); !strings.Contains(page.Body, `name="decision"`) {
		p.t.Fatalf("sign-in: %d %s", page.Status, page.Body)
	}
	return w
}

func (w *worker) query() string {
	return url.Values{
		"response_type": {"code"}, "client_id": {inspector}, "redirect_uri": {inspectorCallback}, "state": {"st"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"}, "resource": {w.site.MCPResource()}, "scope": {"stocks/read"},
	}.Encode()
}

// page sends a form, or gets a page, and follows redirects within the server.
func (w *worker) page(path string, form url.Values) (a answer, told bool) {
	a, told = w.send(w.client, path, form)
	for told && strings.HasPrefix(a.Header.Get("Location"), "/") {
		a, told = w.send(w.client, a.Header.Get("Location"), nil)
	}
	return a, told
}

// post sends a form until there is an answer, and counts the tries.
func (w *worker) post(path string, form url.Values, header ...string) (a answer, tries int) {
	for begun := time.Now(); time.Since(begun) < 30*time.Second; {
		tries++
		a, told := w.send(w.client, path, form, header...)
		if told {
			return a, tries
		}
		w.lost++
	}
	w.t.Errorf("%s gives no answer any more", path)
	return answer{}, tries
}

func (w *worker) run() {
	for !w.stop.Load() && !w.t.Failed() {
		f := w.authorize()
		if f == nil {
			continue
		}
		w.families = append(w.families, f)
		f.redeem(w)
		for range 6 {
			if !f.ended {
				f.act(w)
			}
		}
	}
}

// authorize returns a new code, or nil when the server died under it.
func (w *worker) authorize() *family {
	page, told := w.page("/authorize?"+w.query(), nil)
	if !told {
		return nil
	}
	form := fields(page)
	form.Set("decision", "allow")
	a, told := w.send(w.client, "/consent", form)
	if !told {
		return nil
	}
	location, err := url.Parse(a.Header.Get("Location"))
	if err != nil || location.Query().Get("code") == "" {
		w.t.Errorf("a request that was begun is lost: %d, Location %q", a.Status, a.Header.Get("Location"))
		return nil
	}
	return &family{code: location.Query().Get("code")}
}

func (w *worker) redemption(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "client_id": {inspector}, "code": {code}, "redirect_uri": {inspectorCallback}, "code_verifier": {verifier}}
}

func (w *worker) refreshing(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "client_id": {inspector}, "refresh_token": {token}}
}

// active asks, as the gateway does, whether a token is active.
func (w *worker) active(token string) bool {
	a, _ := w.post("/introspect", url.Values{"token": {token}}, basic("gateway")...)
	return a.JSON["active"] == true
}

// twice sends a form two times at once and once each, and returns what was
// told; complete is false when an answer is missing.
func (w *worker) twice(path string, form url.Values) (told []answer, complete bool) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 2 {
		wg.Go(func() {
			a, ok := w.send(w.client, path, form)
			mu.Lock()
			defer mu.Unlock()
			if ok {
				told = append(told, a)
			} else {
				w.lost++
			}
		})
	}
	wg.Wait()
	return told, len(told) == 2
}

// redeem trades the code, in one of four cases twice at once.
func (f *family) redeem(w *worker) {
	if w.rng.IntN(4) > 0 {
		a, tries := w.post("/token", w.redemption(f.code))
		if a.Status != http.StatusOK && tries == 1 {
			w.t.Errorf("a code that was handed out is lost: %d %s", a.Status, a.Body)
		}
		f.redeemed(w, a)
		f.ended = a.Status != http.StatusOK // the lost answer had the tokens, and asking again ended them
		return
	}
	told, complete := w.twice("/token", w.redemption(f.code))
	for _, a := range told {
		f.redeemed(w, a)
	}
	f.ended = len(told) > 0
	if !complete {
		a, _ := w.post("/token", w.redemption(f.code))
		f.redeemed(w, a)
		f.ended = f.ended || a.Status != http.StatusOK
	}
}

// redeemed notes the answer to a redemption, of which one may give tokens.
func (f *family) redeemed(w *worker, a answer) {
	if a.Status != http.StatusOK {
		return
	}
	if f.current.access != "" {
		w.t.Error("one code gave two token sets")
	}
	f.current = pairOf(a)
	f.live = append(f.live, f.current.access)
}

// act does one of the things that clients, and thieves, do.
func (f *family) act(w *worker) {
	switch w.rng.IntN(10) {
	default:
		f.refresh(w, time.Now(), false)
	case 5, 6:
		f.refreshTwice(w)
	case 7, 8:
		f.replay(w)
	case 9:
		if w.rng.IntN(2) == 0 {
			f.revoke(w, f.current.refresh)
			f.ended = true
			return
		}
		f.revoke(w, f.current.access)
		f.kill(f.current.access)
	}
}

// replay sends what was used: an old refresh token whose successor was used as
// well, or else the code. It ends the family.
func (f *family) replay(w *worker) {
	form := w.redemption(f.code)
	if n := len(f.traded); n > 1 && w.rng.IntN(2) == 0 {
		form = w.refreshing(f.traded[w.rng.IntN(n-1)])
	}
	if a, _ := w.post("/token", form); a.Status != http.StatusBadRequest {
		w.t.Errorf("doubled: what was used gives %d %s", a.Status, a.Body)
	}
	f.ended = true
}

func (f *family) revoke(w *worker, token string) {
	if a, _ := w.post("/revoke", url.Values{"client_id": {inspector}, "token": {token}}); a.Status != http.StatusOK {
		w.t.Errorf("revoke: %d %s", a.Status, a.Body)
	}
}

// kill notes that an access token must not be active any more.
func (f *family) kill(token string) {
	var live []string
	for _, t := range f.live {
		if t != token {
			live = append(live, t)
		}
	}
	f.live, f.dead = live, append(f.dead, token)
}

// refresh trades the current refresh token, however often it takes. Within
// the grace, counted from when it was first sent, there must be new tokens.
func (f *family) refresh(w *worker, begun time.Time, sentBefore bool) {
	a, tries := w.post("/token", w.refreshing(f.current.refresh))
	retried := sentBefore || tries > 1
	switch {
	case a.Status == http.StatusOK:
		f.traded = append(f.traded, f.current.refresh)
		f.current = pairOf(a)
		f.live = append(f.live, f.current.access)
		if retried {
			w.rescued++
		}
	case retried && time.Since(begun) >= grants.RefreshGrace:
		f.ended = true
	default:
		w.t.Errorf("a refresh token is lost after %s and %d tries: %d %s", time.Since(begun), tries, a.Status, a.Body)
		f.ended = true
	}
}

// refreshTwice trades the current refresh token two times at once. One of the
// successors is live; with an answer missing it is not known which.
func (f *family) refreshTwice(w *worker) {
	begun := time.Now()
	told, complete := w.twice("/token", w.refreshing(f.current.refresh))
	var pairs []pair
	for _, a := range told {
		if a.Status != http.StatusOK {
			w.t.Errorf("a parallel refresh threw the client out: %d %s", a.Status, a.Body)
			return
		}
		pairs = append(pairs, pairOf(a))
	}
	if !complete {
		// What came may have been replaced by what did not: the same token
		// once more settles it, and replaces both.
		for _, p := range pairs {
			f.dead = append(f.dead, p.access)
		}
		f.refresh(w, begun, true)
		return
	}
	f.traded = append(f.traded, f.current.refresh)
	first, second := w.active(pairs[0].access), w.active(pairs[1].access)
	if first == second {
		w.t.Errorf("of two successors of one refresh token, active are: %t, %t", first, second)
	}
	if first {
		pairs[0], pairs[1] = pairs[1], pairs[0]
	}
	f.current = pairs[1]
	f.live, f.dead = append(f.live, pairs[1].access), append(f.dead, pairs[0].access)
}

// check compares the server, once it is left alone, with what the client was
// told.
func (f *family) check(w *worker) {
	if f.current.access == "" {
		return // the tokens were never told
	}
	if !f.ended {
		for _, token := range f.live {
			if !w.active(token) {
				w.t.Error("lost: an access token that was given is not active")
			}
		}
		f.refresh(w, time.Now(), false)
		f.replay(w)
	}
	if a, _ := w.post("/token", w.refreshing(f.current.refresh)); a.Status != http.StatusBadRequest {
		w.t.Errorf("lost: the end of a family; its refresh token gives %d", a.Status)
	}
	for _, token := range append(f.live, f.dead...) {
		if w.active(token) {
			w.t.Error("lost: the end of an access token")
		}
	}
}
