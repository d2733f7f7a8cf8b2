package stocksapi

import (
	"demo.example/services/internal/oauth"
	"demo.example/services/internal/token"
)

// Decision is what the policy says about a request, and why. The reason is
// for the log; it holds nothing but what is written here.
type Decision struct {
	Allowed bool
	Reason  string
	Region  Region // whose stocks exist for the caller
	Scope   string // the scope to ask for when that is what is missing
}

// mayRead is the policy for reading stocks. All that it knows comes from the
// token, which the authorization server signed: nothing in the request can
// widen what a user sees.
func mayRead(c *token.Claims) Decision {
	region := Region(c.Region)
	switch {
	case !oauth.HasScope(c.Scope, oauth.ScopeStocksRead):
		return Decision{Reason: "scope stocks/read is missing", Scope: oauth.ScopeStocksRead}
	case region != USA && region != Europe && region != Asia:
		return Decision{Reason: "region is missing or unknown"}
	case c.ClientType != "mcp" && c.ClientType != "web": // AI agents may read
		return Decision{Reason: "client_type is missing or unknown"}
	case c.ClientAssuranceLevel < 1 || c.ClientAssuranceLevel > 3: // and so may weakly identified clients
		return Decision{Reason: "client_assurance_level is missing or unknown"}
	}
	return Decision{Allowed: true, Reason: "stocks/read in own region", Region: region}
}
