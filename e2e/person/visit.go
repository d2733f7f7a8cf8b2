package person

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"demo.example/e2e/deployment"
)

// Visit does what Authorize does, and follows the redirect to the client as
// the browser would, which has to be a program that listens on loopback
// (RFC 8252 §7.3).
func (p *Person) Visit(ctx context.Context, authorizationURL, decision string) error {
	callback, err := p.Authorize(ctx, authorizationURL, decision)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(callback.Hostname()); callback.Scheme != "http" || callback.Hostname() != "localhost" && !ip.IsLoopback() {
		return fmt.Errorf("the browser was sent to %s://%s, which is not on this machine", callback.Scheme, callback.Host)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, callback.String(), nil)
	if err != nil {
		return err
	}
	resp, err := deployment.NoRedirects(&http.Transport{DisableKeepAlives: true}).Do(req)
	if err != nil {
		return fmt.Errorf("return to the client: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the client answers its callback with %s", resp.Status)
	}
	return nil
}
