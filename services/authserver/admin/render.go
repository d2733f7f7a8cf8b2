package admin

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/hex"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/keys"
	"demo.example/services/authserver/store"
)

//go:embed templates/*.html
var templateFiles embed.FS

// templates are one set a page, each with the layout around it.
var templates = parseTemplates("error", "signedout", "confirm", "overview", "users", "clients", "grants", "grant", "keys", "limits", "policy", "audit", "story")

func parseTemplates(names ...string) map[string]*template.Template {
	out := map[string]*template.Template{}
	for _, name := range names {
		t := template.New(name).Funcs(template.FuncMap{"inert": inert, "moment": moment, "second": second, "span": span, "words": words})
		out[name] = template.Must(t.ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/"+name+".html"))
	}
	return out
}

// tabs are the pages that the navigation leads to.
var tabs = []struct{ Path, Name string }{
	{"/admin", "Overview"}, {"/admin/users", "Users"}, {"/admin/clients", "Clients"}, {"/admin/grants", "Access"},
	{"/admin/keys", "Keys"}, {"/admin/limits", "Limits"}, {"/admin/policy", "Registration"}, {"/admin/audit", "Audit trail"},
}

// notices say what a change did. The address holds the key alone, so that no
// link can put words on the page.
var notices = map[string]string{
	"approved":  "The user may sign in.",
	"suspended": "The user is suspended. Sessions and access ended at once.",
	"region":    "The region was changed. It counts from the next request on.",
	"client":    "The client is suspended. All access that it had ended at once.",
	"restored":  "The client is let in again. It has to ask its users anew.",
	"deleted":   "The client was deleted. All access that it had ended at once.",
	"grant":     "Access was revoked. It ends now, wherever it was used.",
	"token":     "The token was revoked. It ends now, wherever it was used.",
	"rotated":   "A new key is published. It signs once every service has had time to read it.",
	"retired":   "The key was deleted. What it signed is good for nothing once services have read the list of keys again, in " + span(keys.CacheFor) + " at most.",
}

func (s *Server) render(c echo.Context, status int, name string, v visitor, data map[string]any) error {
	data["Visitor"], data["Tabs"], data["Here"], data["Style"] = v.User, tabs, c.Path(), s.Style()
	for _, t := range tabs[1:] { // all are below the overview
		if strings.HasPrefix(c.Path(), t.Path+"/") {
			data["Section"] = t.Path
		}
	}
	data["Notice"] = notices[c.QueryParam("done")]
	if v.cookie != "" {
		data["SignOut"] = s.formToken(v, "sign out")
	}
	var body bytes.Buffer
	if err := templates[name].ExecuteTemplate(&body, "layout", data); err != nil {
		return err
	}
	h := c.Response().Header()
	// A form that is sent when the session is over leads to the sign-in, and
	// browsers hold form-action against where a form is redirected to as well.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self' "+s.Site.Issuer()+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	return c.HTMLBlob(status, body.Bytes())
}

// rows is how many a page of a list has: of the audit trail that is five screens
// of a phone. What a row shows is made ready in Go, in a struct without embedded
// ones: a template finds promoted fields by reflection, and that took more time
// than all the rest of a page.
const rows = 20

// cut returns a page of a list that was asked for with one row too many, and
// whether there are more.
func cut[T any](list []T) (page []T, more bool) {
	return list[:min(len(list), rows)], len(list) > rows
}

// link is an address with parameters, those that are empty left out.
func link(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// anchor is a link that is read out as label, and a space. A template takes
// several times as long to write one.
func anchor(address, text, label string) template.HTML {
	e := template.HTMLEscapeString
	return template.HTML(`<a href="` + e(address) + `" aria-label="` + e(label) + `">` + e(text) + "</a> ")
}

func separator(address string) string {
	if strings.Contains(address, "?") {
		return "&"
	}
	return "?"
}

// maxInert is how much of a stranger's text is shown, in characters.
const maxInert = 200

// inert makes a text fit to be shown that somebody else chose, and that is to
// be seen as it is: what could hide or reorder what stands around it is shown
// as a replacement character.
func inert(text string) string {
	if len(text) <= maxInert && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return text // as nearly all are
	}
	shown := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) || unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point) || r == '\u2800' {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, string(unicode.ReplacementChar))))
	if len(shown) > maxInert {
		shown = append(shown[:maxInert-1], '…')
	}
	return string(shown)
}

// words makes a list of scopes or names readable.
func words(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// moment writes a time, which is UTC for everybody.
func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2 Jan 2006, 15:04 MST")
}

// second writes a time exactly.
func second(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000 MST") }

// span writes a duration as people do.
func span(d time.Duration) string {
	day := 24 * time.Hour
	switch {
	case d >= 2*day && d%day == 0:
		return plural(int(d/day), "day")
	case d >= time.Hour && d%time.Hour == 0:
		return plural(int(d/time.Hour), "hour")
	case d >= time.Minute && d%time.Minute == 0:
		return plural(int(d/time.Minute), "minute")
	}
	return plural(int(d/time.Second), "second")
}

// fingerprint names a token without being of any use to whoever reads it: the
// beginning of the hash that is stored of it.
func fingerprint(h store.Hash) string { return hex.EncodeToString(h[:8]) }

// names are what ids stand for on a page.
type names struct {
	users   map[string]string
	clients map[string]Description
}

// names looks up the users and the clients of a page, all at once. What cannot
// be found out is shown by its id.
func (s *Server) names(ctx context.Context, userIDs, clientIDs []string) names {
	users, err := s.Login.Addresses(ctx, distinct(userIDs))
	if err != nil {
		s.Log.WarnContext(ctx, "users not shown", "error", err.Error())
	}
	ids := distinct(clientIDs)
	known, err := s.Clients.LookupAll(ctx, ids)
	if err != nil {
		s.Log.WarnContext(ctx, "clients not shown", "error", err.Error())
	}
	n := names{users, make(map[string]Description, len(ids))}
	for _, id := range ids {
		c, ok := known[id]
		if !ok {
			c.ID = id
		}
		n.clients[id] = s.Describe(c)
	}
	return n
}

// distinct returns texts each once, without the empty one.
func distinct(list []string) []string {
	list = slices.Compact(slices.Sorted(slices.Values(list)))
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// user returns the address of a user. One who is not known has their id alone.
func (n names) user(id string) string { return cmp.Or(n.users[id], id) }

// client returns what is known of a client.
func (n names) client(id string) Description { return n.clients[id] }
