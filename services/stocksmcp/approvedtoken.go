package stocksmcp

import (
	"context"
	"fmt"
	"net/url"

	"demo.example/services/internal/oauth"
)

const approvalUsed explanation = "This approval was used already, or has expired. Look at the user's orders before you order again; " +
	"calling place-order once more asks the user once more."

// approvedToken trades a user's token for the one that places the order which
// the user approved. It is good for that order alone and given once, so it is
// not remembered.
func (e *exchange) approvedToken(ctx context.Context, subjectToken, audience, approvalID string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	form := exchangeForm(subjectToken, audience, oauth.ScopeStocksTrade)
	form.Set("approval_id", approvalID)
	got, _, err := e.post(ctx, form, approvedRefusal)
	return got, err
}

// approvedRefusal says what an error code means for the user. The words of the
// first three are those of the device grant (RFC 8628 §3.5).
func approvedRefusal(code string) error {
	switch code {
	case "expired_token":
		return approvalUsed
	case "authorization_pending", "access_denied": // it was approved a moment ago
		return fmt.Errorf("%w: token exchange: the approval changed", errUnavailable)
	}
	return exchangeRefusal(code)
}

// exchangeForm is the request of a token exchange (RFC 8693 §2.1).
func exchangeForm(subjectToken, audience, scope string) url.Values {
	return url.Values{
		"grant_type":           {oauth.GrantTokenExchange},
		"subject_token":        {subjectToken},
		"subject_token_type":   {oauth.TokenTypeAccessToken},
		"requested_token_type": {oauth.TokenTypeAccessToken},
		"resource":             {audience},
		"scope":                {scope},
	}
}
