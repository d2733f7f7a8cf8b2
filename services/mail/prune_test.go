package mail

import (
	"fmt"
	"log/slog"
	"net/http"
	"testing"
)

func TestPruneKeepsTheNewest(t *testing.T) {
	hog := startMailHog(t)
	tests := map[string]struct{ limit, sent, want int }{
		"fewer":          {limit: 5, sent: 3, want: 3},
		"as many":        {limit: 3, sent: 3, want: 3}, // MailHog lists one mail here, not none
		"one more":       {limit: 3, sent: 4, want: 3},
		"several rounds": {limit: 1, sent: 2*pruneBatch + 3, want: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			empty, err := hog.do(t.Context(), http.MethodDelete, "/api/v1/messages")
			if err != nil {
				t.Fatal(err)
			}
			empty.Body.Close()
			for i := range tt.sent {
				send(t, hog.SMTPAddr, fmt.Sprintf("Subject: %d", i), "", "text")
			}

			p := pruner{MailHog: hog, Max: tt.limit, Log: slog.New(slog.DiscardHandler)}
			if err := p.prune(t.Context()); err != nil {
				t.Fatal(err)
			}

			resp, err := hog.do(t.Context(), http.MethodGet, "/api/v2/messages")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			total, items := decodeList(t, resp.Body)
			if total != tt.want {
				t.Fatalf("got %d mails, want %d", total, tt.want)
			}
			for i, item := range items {
				want := fmt.Sprint(tt.sent - 1 - i)
				if got := item.Content.Headers["Subject"][0]; got != want {
					t.Errorf("mail %d: got number %s, want %s", i, got, want)
				}
			}
		})
	}
}

func TestServicePrunes(t *testing.T) {
	t.Parallel()
	r := start(t, "MAX_MESSAGES=2")
	for range 4 {
		send(t, r.smtp, "Subject: one of four", "", "text")
	}
	eventually(t, r.log, func() bool {
		total, _ := r.list(t)
		return total == 2
	})
}
