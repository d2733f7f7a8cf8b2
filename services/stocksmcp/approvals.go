package stocksmcp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"demo.example/services/internal/config"
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// approvals asks the authorization server to put orders to their users: on a
// page of that server, where no client can answer in the user's place.
type approvals struct {
	URL      *url.URL // of the endpoint
	Origin   string   // of the page, as users reach it
	ClientID string
	Secret   config.Secret
	Client   *http.Client
	Patience patience

	mu      sync.Mutex
	waiting map[string]int // calls that wait, by approval
}

// maxWaiting is how many calls wait for one decision. A client that calls again
// and again would else hold as much of this server, and of the gateway's way to
// it, as its quota allows it calls.
const maxWaiting = 2

// mayWait takes a place among those that wait, which leave gives back.
func (a *approvals) mayWait(id string) (leave func(), ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting[id] >= maxWaiting {
		return func() {}, false
	}
	if a.waiting == nil {
		a.waiting = map[string]int{}
	}
	a.waiting[id]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.waiting[id]--; a.waiting[id] == 0 {
			delete(a.waiting, id)
		}
	}, true
}

// approval is a user's decision about an order.
type approval struct {
	ID        string `json:"approval_id"`
	URI       string `json:"approval_uri"` // where the user decides
	Status    string `json:"status"`       // one of the three below
	ExpiresIn int    `json:"expires_in"`   // seconds

	created bool // by this request
}

// What a user can have decided.
const (
	pending  = "pending"
	approved = "approved"
	declined = "declined"
)

// Refusals of the authorization server that the user can do something about.
const (
	orderMalformed explanation = "The authorization server does not take this order. Check symbol, side, quantity and limit_price."
	tooManyWaiting explanation = "Too many orders wait for this user's approval. Have the user decide about them first."
)

// ask puts an order to the user whose token it is. Asking again for the same
// order returns the same approval, for as long as it is of use.
func (a *approvals) ask(ctx context.Context, subjectToken string, order token.AuthorizationDetail) (approval, error) {
	details, err := json.Marshal([]token.AuthorizationDetail{order})
	if err != nil {
		return approval{}, err
	}
	form := url.Values{
		"subject_token":         {subjectToken},
		"subject_token_type":    {oauth.TokenTypeAccessToken},
		"authorization_details": {string(details)},
	}
	return a.send(ctx, http.MethodPost, a.URL, form)
}

// wait looks at an approval until the user has decided or patience ends, and
// returns it as it is then. When enough calls wait for it already, it looks once.
func (a *approvals) wait(ctx context.Context, id string, report progress) (approval, error) {
	leave, may := a.mayWait(id)
	defer leave()
	deadline := time.NewTimer(a.Patience.For)
	defer deadline.Stop()
	tick := time.NewTicker(a.Patience.Every)
	defer tick.Stop()
	for looks := 1; ; looks++ {
		got, err := a.send(ctx, http.MethodGet, a.URL.JoinPath(id), nil)
		if err != nil || got.Status != pending || !may {
			return got, err
		}
		report(looks, 0, "waiting for the user to decide")
		select {
		case <-tick.C:
		case <-deadline.C:
			return got, nil
		case <-ctx.Done():
			return approval{}, fmt.Errorf("%w: approval: %w", errUnavailable, ctx.Err())
		}
	}
}

// send sends a request and reads the approval in the answer.
func (a *approvals) send(ctx context.Context, method string, u *url.URL, form url.Values) (approval, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return approval{}, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept", "application/json")
	oauth.SetClientAuth(req, a.ClientID, string(a.Secret))
	resp, err := a.Client.Do(req)
	if err != nil {
		return approval{}, fmt.Errorf("%w: approval: %w", errUnavailable, err)
	}
	defer resp.Body.Close()
	var answer struct {
		approval
		Error string `json:"error"`
	}
	decodeErr := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer)
	switch got := answer.approval; {
	case method == http.MethodGet && resp.StatusCode == http.StatusNotFound:
		return approval{}, stateExpired
	case decodeErr != nil:
		return approval{}, fmt.Errorf("%w: approval: %s, not JSON", errUnavailable, resp.Status)
	case resp.StatusCode == http.StatusTooManyRequests:
		return approval{}, tooManyWaiting
	case resp.StatusCode == http.StatusBadRequest:
		return approval{}, approvalRefusal(answer.Error)
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated: // 401 is this server's own mistake
		return approval{}, fmt.Errorf("%w: approval: %s", errUnavailable, resp.Status)
	case got.Status != pending && got.Status != approved && got.Status != declined,
		got.ID == "" || url.PathEscape(got.ID) != got.ID, // it becomes a part of a path
		!strings.HasPrefix(got.URI, a.Origin+"/"):        // it is shown to people, who then sign in there
		return approval{}, fmt.Errorf("%w: approval: unexpected answer", errUnavailable)
	default:
		got.created = resp.StatusCode == http.StatusCreated
		return got, nil
	}
}

// approvalRefusal says what an error code means for the user. The code is
// matched and never repeated.
func approvalRefusal(code string) error {
	switch code {
	case "invalid_authorization_details": // RFC 9396 §5
		return orderMalformed
	case "slow_down":
		return tooManyWaiting
	}
	return exchangeRefusal(code)
}
