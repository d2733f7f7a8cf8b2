// Package storetest is the suite that every store of the authorization server
// passes, whatever keeps the data. Start with Store, which is all that the
// rest of the server needs of one.
package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/revocation"
)

// Store is what packages grants, clients, login and keys need, and what keeps
// the whole running: expiry and the administration of users.
type Store interface {
	AddUser(ctx context.Context, u store.User) error
	User(ctx context.Context, id string) (store.User, error)
	UsersByID(ctx context.Context, ids []string) ([]store.User, error)
	UserByEmail(ctx context.Context, email string) (store.User, error)
	SetAdmins(ctx context.Context, emails []string) error
	SetUserStatus(ctx context.Context, id, status string) error

	SaveClient(ctx context.Context, c store.Client) error
	Client(ctx context.Context, id string) (store.Client, error)
	ClientsByID(ctx context.Context, ids []string) ([]store.Client, error)
	AddAssertion(ctx context.Context, hash store.Hash, expires time.Time) error
	AddRegistration(ctx context.Context, c store.Client, token store.Hash, until time.Time, maxUnused int) error
	Registration(ctx context.Context, id string, token store.Hash) (store.Client, error)
	UpdateClient(ctx context.Context, c store.Client) error
	KeepClient(ctx context.Context, id string, until time.Time) error
	DeleteClient(ctx context.Context, id string) error

	AddDevice(ctx context.Context, d store.Device, maxClient, maxIP int, now time.Time) error
	DeviceByUserCode(ctx context.Context, code store.Hash, now time.Time) (store.Device, error)
	PollDevice(ctx context.Context, hash store.Hash, clientID string, now time.Time, next func(store.Device) time.Duration) (store.Device, error)
	ApproveDevice(ctx context.Context, id string, g store.Grant, now time.Time) error
	DenyDevice(ctx context.Context, id string) error
	TakeDevice(ctx context.Context, id string) (store.Grant, error)

	AskApproval(ctx context.Context, a store.Approval, maxPending int, declinedSince time.Time) (out store.Approval, created bool, err error)
	Approval(ctx context.Context, id string) (store.LiveApproval, error)
	DecideApproval(ctx context.Context, id, userID, status string, authTime, now time.Time) error
	TakeApproval(ctx context.Context, id, grantID, caller string, now time.Time) error

	AddRequest(ctx context.Context, r store.Request) error
	Request(ctx context.Context, id string, browser store.Hash, now time.Time) (store.Request, error)
	TakeRequest(ctx context.Context, id string, browser store.Hash, now time.Time) (store.Request, error)
	SignIn(ctx context.Context, requestID, userID string, authTime time.Time) error
	AddPushedRequest(ctx context.Context, hash store.Hash, r store.Request) error
	TakePushedRequest(ctx context.Context, hash store.Hash, clientID string, now time.Time) (store.Request, error)

	SetPasscode(ctx context.Context, p store.Passcode) error
	Passcode(ctx context.Context, requestID string) (store.Passcode, error)
	TryPasscode(ctx context.Context, requestID string, limit int, now time.Time) (store.Passcode, error)
	TakePasscode(ctx context.Context, requestID string, mac store.Hash) error
	LogPasscode(ctx context.Context, email, ip string, now, since time.Time, within func(byEmail, byIP, all int) bool) (bool, error)

	AddSession(ctx context.Context, s store.Session) error
	Session(ctx context.Context, id store.Hash) (store.Session, store.User, error)
	TouchSession(ctx context.Context, id store.Hash, now time.Time) error
	EndSession(ctx context.Context, id store.Hash) error
	DeleteSession(ctx context.Context, id store.Hash) error
	NameSession(ctx context.Context, id store.Hash, browser, address string) error
	Sessions(ctx context.Context, userID string, now time.Time, limit int) ([]store.NamedSession, error)
	DeleteOtherSessions(ctx context.Context, userID string, keep store.Hash) error
	EndAdminSessions(ctx context.Context, userID string) (had bool, err error)

	NoteUses(ctx context.Context, uses map[string]time.Time) error
	Access(ctx context.Context, userID string, now time.Time, limit int) ([]store.Access, error)
	Consents(ctx context.Context, userID string, limit int) ([]store.Consent, error)
	Approvals(ctx context.Context, userID string, limit int) ([]store.LiveApproval, error)

	AddConsent(ctx context.Context, c store.Consent) error
	HasConsent(ctx context.Context, c store.Consent) (bool, error)

	AddGrant(ctx context.Context, g store.Grant, c store.Code) error
	AddClientGrant(ctx context.Context, g store.Grant, t store.Token) error
	Code(ctx context.Context, hash store.Hash) (store.Code, store.Grant, error)
	TakeCode(ctx context.Context, hash store.Hash) error

	AddTokens(ctx context.Context, tokens ...store.Token) error
	Token(ctx context.Context, hash store.Hash) (store.LiveToken, error)
	TokenByID(ctx context.Context, id string) (store.LiveToken, error)
	Rotate(ctx context.Context, hash store.Hash, now time.Time, grace time.Duration, issue func() (access, refresh store.Token, err error)) error
	RevokeToken(ctx context.Context, hash store.Hash) error
	RevokeGrant(ctx context.Context, id string) error
	RevokeConsent(ctx context.Context, userID, clientID string) (had bool, err error)
	ForgetConsent(ctx context.Context, userID, clientID string) error

	Users(ctx context.Context, after string, now time.Time, limit int) ([]store.UserOverview, error)
	SuspendUser(ctx context.Context, id string) error
	SetUserRegion(ctx context.Context, id, region string) error
	PasscodesSince(ctx context.Context, since time.Time) (all, addresses, ips int, err error)
	AddAdminSession(ctx context.Context, s store.Session) error
	AdminSession(ctx context.Context, id store.Hash) (store.Session, store.User, error)
	AdminSessions(ctx context.Context, userID string, now time.Time, limit int) ([]store.Session, error)
	TouchAdminSession(ctx context.Context, id store.Hash, now time.Time) error
	DeleteAdminSession(ctx context.Context, id store.Hash) error
	ClientOverviews(ctx context.Context, before int64, now time.Time, limit int) ([]store.ClientOverview, error)
	ClientUses(ctx context.Context, ids []string, now time.Time) (map[string]store.ClientUse, error)
	SuspendClient(ctx context.Context, id string, now time.Time) error
	RestoreClient(ctx context.Context, id string) error
	SuspendedClients(ctx context.Context) ([]string, error)
	LiveGrants(ctx context.Context, userID, clientID, before string, now time.Time, limit int) ([]store.GrantOverview, error)
	GrantOverview(ctx context.Context, id string, now time.Time) (store.GrantOverview, error)
	TokensOf(ctx context.Context, grantID string, now time.Time, limit int) ([]store.Token, error)
	Totals(ctx context.Context, now time.Time) (store.Totals, error)

	AddKey(ctx context.Context, k store.Key) error
	Keys(ctx context.Context) ([]store.Key, error)
	DeleteKey(ctx context.Context, id string) error

	// Announce has f called with all that a write ended, before it returns.
	Announce(f func(revocation.Event))

	Expire(ctx context.Context, now time.Time) error
	Ping(ctx context.Context) error
}

// Run runs the suite. open returns a new, empty store, and closes it when the
// test ends.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for name, test := range map[string]func(*suite){
		"users":            (*suite).users,
		"clients":          (*suite).clients,
		"client kinds":     (*suite).clientKinds,
		"requests":         (*suite).requests,
		"passcodes":        (*suite).passcodes,
		"passcode log":     (*suite).passcodeLog,
		"sessions":         (*suite).sessions,
		"consents":         (*suite).consents,
		"codes":            (*suite).codes,
		"grant is atomic":  (*suite).grantIsAtomic,
		"tokens":           (*suite).tokens,
		"tokens are one":   (*suite).tokensAreAtomic,
		"revoke":           (*suite).revoke,
		"announcements":    (*suite).announcements,
		"refresh":          (*suite).refresh,
		"keys":             (*suite).keys,
		"forgotten":        (*suite).forgotten,
		"taken once":       (*suite).takenOnce,
		"parallel tries":   (*suite).parallelTries,
		"parallel logging": (*suite).parallelLogging,
		"expiry":           (*suite).expiry,
		"outage":           (*suite).outage,
		"approvals":        (*suite).approvals,
		"approval is one":  (*suite).approvalIsOne,
		"account":          (*suite).account,
		"own sessions":     (*suite).ownSessions,
		"by ids":           (*suite).byIDs,
		"suspended user":   (*suite).suspendedUser,
		"suspended client": (*suite).suspendedClient,
		"admin sessions":   (*suite).adminSessions,
		"admin sign-out":   (*suite).adminSignOut,
		"admins":           (*suite).admins,
		"not approved":     (*suite).notApproved,
		"overviews":        (*suite).overviews,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&suite{T: t, Store: open(t)})
		})
	}
}

// suite is one test and its store.
type suite struct {
	*testing.T
	Store
}

// now is the time in all tests; a store need not know more than milliseconds.
var now = time.Date(2026, 7, 28, 12, 0, 0, int(123*time.Millisecond), time.UTC)

// parallel is how many callers race for what only one may get.
const parallel = 50

// Records that the tests begin with. Each call returns a value of its own.
func john() store.User {
	return store.User{ID: "user-1", Email: "john.doe@demo.example", Region: "USA", Role: "user", Status: store.UserApproved}
}

func agent() store.Client {
	return store.Client{
		ID: "dcr-1", Registration: store.RegisteredDynamically, Name: "Agent", URI: "https://agent.example",
		RedirectURIs: []string{"http://127.0.0.1/cb", "https://agent.example/cb"}, GrantTypes: []string{"authorization_code"},
		AuthMethod: "none", Scope: "stocks/read", Resources: []string{"https://mcp.demo.example/"},
		Type: "mcp", Assurance: 1, Remember: true, BoundTokens: true, CreatedAt: now,
	}
}

func request(id string) store.Request {
	return store.Request{
		ID: id, Browser: store.HashOf("browser"), ClientID: "dcr-1", RedirectURI: "http://127.0.0.1:7/cb", State: "state",
		Scope: "stocks/read", Resource: "https://mcp.demo.example/", Challenge: "challenge", JKT: "thumbprint", Nonce: "nonce",
		ForceLogin: true, ForceConsent: true, MaxAge: -1, ExpiresAt: now.Add(15 * time.Minute),
	}
}

func passcode(requestID string) store.Passcode {
	return store.Passcode{RequestID: requestID, UserID: "user-1", Email: "john.doe@demo.example", MAC: store.HashOf("12345678"), ExpiresAt: now.Add(5 * time.Minute)}
}

func grant(id string) store.Grant {
	return store.Grant{
		ID: id, UserID: "user-1", ClientID: "dcr-1", Resource: "https://mcp.demo.example/", Scope: "stocks/read openid", Nonce: "nonce",
		AuthTime: now.Add(-time.Minute), CreatedAt: now, ExpiresAt: now.Add(30 * 24 * time.Hour),
	}
}

func codeOf(grantID string) store.Code {
	return store.Code{
		Hash: store.HashOf("code of " + grantID), GrantID: grantID, ClientID: "dcr-1", RedirectURI: "http://127.0.0.1:7/cb",
		Challenge: "challenge", JKT: "thumbprint", ExpiresAt: now.Add(time.Minute),
	}
}

func tokenOf(grantID, kind, secret string) store.Token {
	return store.Token{
		Hash: store.HashOf(secret), ID: "id of " + secret, Kind: kind, GrantID: grantID, Scope: "stocks/read", JKT: "thumbprint",
		IssuedAt: now, ExpiresAt: now.Add(15 * time.Minute),
	}
}

// withGrant stores a user, a client, and a grant with its code.
func (s *suite) withGrant(id string) {
	s.Helper()
	if err := s.AddUser(s.Context(), john()); err != nil && !errors.Is(err, store.ErrExists) {
		s.Fatal(err)
	}
	if _, err := s.Client(s.Context(), agent().ID); err != nil {
		s.must(s.SaveClient(s.Context(), agent()))
	}
	s.must(s.AddGrant(s.Context(), grant(id), codeOf(id)))
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// wants checks that err is the one that callers tell apart.
func (s *suite) wants(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// equal checks a value that was read.
func equal[T any](s *suite, what string, got T, err error, want T) {
	s.Helper()
	if err != nil {
		s.Errorf("%s: %v", what, err)
	} else if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// race calls f from many goroutines at once and returns how many succeeded.
// Whoever does not must be told ErrNotFound.
func (s *suite) race(what string, f func() error) (won int) {
	s.Helper()
	errs := make([]error, parallel)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range parallel {
		wg.Go(func() {
			<-start
			errs[i] = f()
		})
	}
	close(start)
	wg.Wait()
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrReused):
			s.Errorf("%s: a caller that came too late got error %v, want %v or %v", what, err, store.ErrNotFound, store.ErrReused)
		}
	}
	return won
}
