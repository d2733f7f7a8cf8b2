package grants

import (
	"slices"

	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// revocationReaders are the services that remember answers of this server, and
// so have to be told when something ends. What is told are ids, which say who
// uses what: nobody else gets to see them.
var revocationReaders = []string{"gateway", "stocksmcp"}

// MayReadRevocations returns an oauth error for a client that is none of them.
func (s *Service) MayReadRevocations(caller store.Client) error {
	if !slices.Contains(revocationReaders, caller.ID) {
		return oauth.UnauthorizedClient("only the services of this deployment may read what was revoked")
	}
	return nil
}
