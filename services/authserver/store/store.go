// Package store defines what the authorization server remembers. The records
// are plain values: a store hands out copies and keeps its own.
//
// Nothing that a client could present is stored as it is: codes, tokens,
// session and browser cookies are kept as their SHA-256, so that a copy of
// the database lets nobody in.
//
// The interfaces over these records are declared by the packages that use
// them (grants, clients, login, keys). Package sqlite implements them all;
// package storetest is the suite that every implementation passes.
package store

import (
	"crypto/sha256"
	"errors"
	"time"
)

// Errors that callers tell apart. Anything else is an outage of the store.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrReused   = errors.New("used before") // a secret that may be used once
	ErrFull     = errors.New("too many")    // a bound on how much is kept
)

// Hash is what is stored of a secret of at least 128 random bits. Such a
// secret cannot be guessed, so it needs no salt and no slow hash.
type Hash [sha256.Size]byte

// HashOf returns the hash under which a secret is stored.
func HashOf(secret string) Hash { return sha256.Sum256([]byte(secret)) }

// User statuses.
const (
	UserApproved  = "approved"
	UserPending   = "pending"
	UserSuspended = "suspended"
)

// User roles.
const (
	RoleUser  = "user"
	RoleAdmin = "admin" // may administer this server
)

// User is a person who may sign in once an administrator approved them.
type User struct {
	ID     string // the subject of tokens; never the address, which may change hands
	Email  string // canonical: trimmed, lower case
	Region string // which stocks exist for this user
	Role   string
	Status string
}

// Client is a registered OAuth client. Its trust (Type, Assurance) is earned
// by how it registered; nothing in its own metadata reaches those fields.
type Client struct {
	ID           string
	Registration string // one of the Registered constants
	Name         string
	URI          string
	RedirectURIs []string
	LogoutURIs   []string `json:",omitempty"` // post_logout_redirect_uris
	GrantTypes   []string
	AuthMethod   string // token_endpoint_auth_method
	SecretHash   Hash   `json:"-"` // zero for a client without a secret
	Scope        string // what it may ask for, space separated
	Resources    []string
	Type         string // client_type of its tokens
	Assurance    int    // client_assurance_level of its tokens
	Remember     bool   // consent given once is enough (reviewed clients only)
	BoundTokens  bool   // it takes no token that is not bound to a key (dpop_bound_access_tokens)
	CreatedAt    time.Time
	JWKS         string // public keys of a client that signs its assertions (private_key_jwt)
	SigningAlg   string // the one algorithm that it signs with; empty means any that its keys are good for
	Region       string // of a client that acts for itself; a person's region is their own
}

// How a client came to be known.
const (
	RegisteredDynamically = "dcr"    // RFC 7591
	RegisteredByDocument  = "cimd"   // client ID metadata document
	RegisteredByReview    = "preset" // the reviewed file of this deployment
)

// Request is an authorization request on its way through the pages. It
// belongs to the browser that began it.
type Request struct {
	ID           string
	Browser      Hash `json:"-"` // of the cookie of the browser that began it
	ClientID     string
	Client       Client // as it was when the request began
	RedirectURI  string
	State        string
	Scope        string
	Resource     string
	Challenge    string // PKCE S256
	JKT          string // thumbprint of the key that must redeem the code; empty: any (DPoP)
	Nonce        string
	ForceLogin   bool
	ForceConsent bool
	Silent       bool          // prompt=none: no page may be shown
	HintedUser   string        // id_token_hint: nobody else may be signed in; empty for anybody
	MaxAge       time.Duration // negative when not asked for
	Device       string        // id of the device that waits for it; the answer then goes there and not to RedirectURI
	Page         string        // page of this server that the user signs in for; there is no client then, and no answer
	UserID       string        // empty until signed in
	AuthTime     time.Time
	ExpiresAt    time.Time
}

// Passcode is a one-time passcode that was mailed for one request.
type Passcode struct {
	RequestID string
	UserID    string // empty when nobody by that address may sign in: then no code is right
	Email     string
	MAC       Hash // keyed, since eight digits can be tried out
	Attempts  int
	ExpiresAt time.Time
}

// Session is a browser that is signed in.
type Session struct {
	ID        Hash
	UserID    string
	AuthTime  time.Time
	LastSeen  time.Time
	ExpiresAt time.Time // absolute
}

// NamedSession is a session as its user knows it again.
type NamedSession struct {
	Session
	Browser, Address string // where it began; empty where that was not noted
}

// Consent is what a user allowed a client, for as long as they let it.
type Consent struct {
	UserID, ClientID, RedirectURI, Resource, Scope string
	GivenAt                                        time.Time
}

// Grant is one approval and the family of all tokens that came of it.
// Revoking it ends them all.
type Grant struct {
	ID        string
	UserID    string // empty where a client acts for itself (client_credentials)
	ClientID  string
	Resource  string
	Scope     string
	Nonce     string
	AuthTime  time.Time
	CreatedAt time.Time
	ExpiresAt time.Time // absolute, refreshing does not move it
	Revoked   bool
}

// Access is a grant as its user looks at it.
type Access struct {
	Grant
	UsedAt time.Time // zero when it was not used, or not for long enough to be noted
	Live   bool      // something that was issued for it still is good
}

// UserOverview is a user as an administrator looks at them.
type UserOverview struct {
	User
	Sessions  int       // where they are signed in
	AdminSeen time.Time // when a session of the administration was last used; zero when they have none
}

// ClientOverview is a client as an administrator looks at it.
type ClientOverview struct {
	Client
	ClientUse
	Place     int64 // in the list of all
	Suspended bool
}

// ClientUse is what users let a client do.
type ClientUse struct {
	Grants int       // that have neither ended nor been revoked
	UsedAt time.Time // any of its grants; zero for never, as far as it is known
}

// GrantOverview is a grant as an administrator looks at it.
type GrantOverview struct {
	Access
	User User // empty where a client acts for itself
}

// Totals counts what there is.
type Totals struct {
	Users, Pending, SuspendedUsers int
	Clients, SuspendedClients      int // suspended: reviewed ones too
	Grants, Sessions               int // that have neither ended nor been revoked
}

// Code is an authorization code.
type Code struct {
	Hash        Hash
	GrantID     string
	ClientID    string
	RedirectURI string
	Challenge   string
	JKT         string // as in Request
	ExpiresAt   time.Time
	Used        bool
}

// Device is a device authorization (RFC 8628): a program without a browser
// that waits until a user, in a browser elsewhere, typed its user code and
// decided.
type Device struct {
	ID        string
	Hash      Hash // of the device code
	UserCode  Hash // keyed, since eight letters can be tried out
	ClientID  string
	IP        string // where it was asked for
	Scope     string
	Resource  string
	Status    string // one of the Device constants
	GrantID   string // once approved
	Interval  time.Duration
	PolledAt  time.Time // zero before the first time
	ExpiresAt time.Time
}

// Device statuses. What was redeemed stays known until it has expired, so that
// a second time is told apart from a code that never was.
const (
	DevicePending  = "pending"
	DeviceApproved = "approved"
	DeviceDenied   = "denied"
	DeviceRedeemed = "redeemed"
)

// Approval is one order that a resource server asks a user to decide about, in
// the name of the client that a grant was given to. It is good for one
// exchange of a token of that grant, by that resource server.
type Approval struct {
	ID        string
	GrantID   string
	Caller    string    // client id of the resource server that asked
	Details   string    // the order as canonical JSON
	Status    string    // one of the Approval constants
	AuthTime  time.Time // when the user who decided had signed in; zero before
	CreatedAt time.Time
	DecidedAt time.Time // zero before
	ExpiresAt time.Time
}

// Approval statuses.
const (
	ApprovalPending  = "pending"
	ApprovalApproved = "approved"
	ApprovalDeclined = "declined"
	ApprovalUsed     = "used"
	ApprovalExpired  = "expired" // not stored: a matter of time, and of what the approval hangs on
)

// LiveApproval is an approval with all that decides whether it is good.
type LiveApproval struct {
	Approval
	Grant Grant
	User  User
}

// Token kinds.
const (
	AccessToken  = "access"
	RefreshToken = "refresh"
)

// Token is an opaque token.
type Token struct {
	Hash      Hash
	ID        string // the jti of the JWT behind an access token
	Kind      string
	GrantID   string
	Scope     string
	JKT       string // thumbprint of the key that it is bound to; empty: it is a bearer token
	IssuedAt  time.Time
	ExpiresAt time.Time
	Used      bool // a refresh token that was rotated
	Revoked   bool
}

// LiveToken is a token with all that decides whether it is good.
type LiveToken struct {
	Token
	Grant  Grant
	User   User
	Client Client
}

// Key is a signing key. Private is sealed with the key-encryption key.
type Key struct {
	ID        string
	Private   []byte
	CreatedAt time.Time
}
