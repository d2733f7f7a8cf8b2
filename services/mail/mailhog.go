package mail

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// mailhog is how this process reaches its child.
type mailhog struct {
	URL      *url.URL // page and API, on loopback
	SMTPAddr string
	User     string
	Password string // new for every run, known to this process and its child
	Client   *http.Client
}

func newMailhog(u *url.URL, smtpAddr string) *mailhog {
	return &mailhog{
		URL:      u,
		SMTPAddr: smtpAddr,
		User:     "front",
		Password: rand.Text(),
		Client: &http.Client{
			Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute},
			Timeout:   5 * time.Second,
		},
	}
}

// do calls MailHog's API. ref is a path with its query. Any answer but 200 is
// an error; the caller closes the body.
func (m *mailhog) do(ctx context.Context, method, ref string) (*http.Response, error) {
	u, err := m.URL.Parse(ref)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(m.User, m.Password)
	resp, err := m.Client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s %s: MailHog answered %s", method, u.Path, resp.Status)
	}
	return resp, nil
}
