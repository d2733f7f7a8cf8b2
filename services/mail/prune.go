package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

const (
	pruneInterval = 5 * time.Second
	pruneBatch    = 50 // mails come with their whole text, so few at a time
)

// pruner keeps MailHog, which never forgets a mail, to the newest Max.
type pruner struct {
	MailHog *mailhog
	Max     int
	Log     *slog.Logger
}

// run prunes at every interval until ctx ends.
func (p pruner) run(ctx context.Context, interval time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// A failure is not the end: the next round tries again.
		if err := p.prune(ctx); err != nil && ctx.Err() == nil {
			p.Log.Warn("old mails were not deleted", "error", err)
		}
	}
}

// prune deletes the oldest mails until Max are left.
func (p pruner) prune(ctx context.Context) error {
	for {
		excess, err := p.excess(ctx)
		if err != nil || len(excess) == 0 {
			return err
		}
		for _, id := range excess {
			resp, err := p.MailHog.do(ctx, http.MethodDelete, "/api/v1/messages/"+url.PathEscape(id))
			if err != nil {
				return err
			}
			resp.Body.Close()
		}
		p.Log.Debug("old mails deleted", "count", len(excess))
	}
}

// excess returns the ids of mails beyond the newest Max, some of them when
// they are many.
func (p pruner) excess(ctx context.Context) ([]string, error) {
	resp, err := p.MailHog.do(ctx, http.MethodGet, fmt.Sprintf("/api/v2/messages?start=%d&limit=%d", p.Max, pruneBatch))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var page struct {
		Total int                   `json:"total"`
		Items []struct{ ID string } `json:"items"` // newest first
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		return nil, fmt.Errorf("list of mails: %w", err)
	}
	// Where start is the number of mails, MailHog answers with the oldest one
	// instead of none. So the total decides.
	n := min(len(page.Items), max(0, page.Total-p.Max))
	ids := make([]string, n)
	for i := range ids {
		ids[i] = page.Items[i].ID
	}
	return ids, nil
}
