package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/audit"
)

// keys serves GET /admin/keys.
func (s *Server) keys(c echo.Context, v visitor) error {
	list := s.Keys.List()
	return s.render(c, http.StatusOK, "keys", v, map[string]any{
		"Keys": list, "Rotate": list[0].State != keys.Waiting, "Cache": keys.CacheFor, "Ahead": keys.PublishAhead,
	})
}

// changeKey reads a form with action and, to retire one, key.
func (s *Server) changeKey(_ context.Context, _ visitor, form url.Values) (change, error) {
	ch := change{Back: "/admin/keys"}
	list := s.Keys.List()
	switch form.Get("action") {
	case "rotate":
		ch.Title, ch.Subject, ch.Button, ch.notice = "Make a new signing key?", "Signing keys", "Make a new key", "rotated"
		ch.Effects = []string{
			"It is published at once, and signs in " + span(keys.PublishAhead) + ", when every service has read it.",
			"The one that signs now is kept until the last token that it signed has expired. Nobody has to sign in again.",
		}
		if list[0].State == keys.Waiting {
			ch.refused = "There is a new key already, which signs from " + moment(list[0].SignsFrom) + " on."
		}
		ch.event = audit.Event{Detail: map[string]string{"action": "rotate keys"}}
		ch.do = func(ctx context.Context) error { _, err := s.Keys.Rotate(ctx); return err }
	case "retire":
		i := slices.IndexFunc(list, func(k keys.Info) bool { return k.ID == form.Get("key") })
		if i < 0 {
			return ch, store.ErrNotFound
		}
		k := list[i]
		ch.Title, ch.Subject, ch.Button, ch.Danger, ch.notice = "Retire this key?", k.ID, "Retire it now", true, "retired"
		ch.Effects = []string{
			"It is deleted for good, and nothing that it signed is believed once services have read the list of keys again, which takes " + span(keys.CacheFor) + " at most.",
			"Without this, it goes by itself at " + moment(k.NeededTo) + ".",
		}
		ch.Warning = "Tokens that it signed are still in use. Clients go on with the same opaque tokens, behind which new ones are signed; what was exchanged or kept elsewhere may be refused meanwhile. Do this when the key may have been stolen."
		if k.State != keys.Kept {
			ch.refused = "This key signs, or is about to. Make a new one first, and wait until that one signs."
		}
		ch.event = audit.Event{Detail: map[string]string{"action": "retire key", "key": k.ID}}
		ch.do = func(ctx context.Context) error {
			if err := s.Grants.RetireKey(ctx, k.ID); !errors.Is(err, keys.ErrNoKey) {
				return err
			}
			return nil // it went by itself meanwhile
		}
	default:
		return ch, errNothing
	}
	return ch, nil
}
