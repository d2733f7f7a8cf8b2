package authserver

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/login"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/httpserver"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// templates are one set a page, each with the layout around it.
var templates = parseTemplates("signin", "passcode", "consent", "error", "signout", "home", "device", "devicedone", "approve", "approvedone", "account")

func parseTemplates(names ...string) map[string]*template.Template {
	out := map[string]*template.Template{}
	for _, name := range names {
		out[name] = template.Must(template.New(name).Funcs(template.FuncMap{"style": styleSheet}).ParseFS(templateFiles, "templates/layout.html", "templates/client.html", "templates/"+name+".html"))
	}
	return out
}

// styleSheet is the address of the style sheet. It changes with the sheet, which
// browsers keep.
var styleSheet = sync.OnceValue(func() string {
	sheet, err := staticFiles.ReadFile("static/style.css")
	if err != nil {
		panic(err) // the file is embedded
	}
	sum := sha256.Sum256(sheet)
	return "/static/style.css?v=" + hex.EncodeToString(sum[:4])
})

// static serves the style sheet.
func static() http.Handler {
	files, err := fs.Sub(staticFiles, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	server := http.StripPrefix("/static/", http.FileServerFS(files))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		server.ServeHTTP(w, r)
	})
}

// clientView is what every page says about the client, so that nobody has to
// take its word for anything.
type clientView struct {
	Name     string // as it calls itself, made harmless and short
	FullName string // made harmless
	Badge    string // how far it is known, in a word or two
	Known    bool   // the badge is a good one
	Trust    string // how it came to be known, in plain words
	Goes     string // where the answer is sent
	Warnings []string
}

// viewOf says what is known of a client whose answer goes to a redirect URI;
// empty where none goes anywhere.
func (s *server) viewOf(c store.Client, redirectURI string) clientView {
	v := clientView{FullName: login.PlainName(c.Name), Goes: destination(redirectURI)}
	v.Name = shortName(v.FullName)
	switch c.Registration {
	case store.RegisteredByReview:
		v.Badge, v.Known = "Known here", true
		v.Trust = "It is known here: the people who run this server registered it."
	case store.RegisteredByDocument:
		host := ""
		if u, err := url.Parse(c.ID); err == nil {
			host = u.Host
		}
		v.Badge, v.Known = "Verified: "+host, true
		v.Trust = "It is described by a document at " + host + ", so whoever runs that site vouches for it. Nobody here checked it."
	case "":
		v.Badge, v.Trust = "Not known any more", "Its registration is gone."
	default:
		v.Badge = "Unverified"
		v.Trust = "It registered itself. Nobody checked who made it, and the name is its own choice."
		if c.Assurance >= clients.AssuranceKey {
			v.Trust += " It proves with a key that it is the same program each time."
		}
	}
	if c.Registration != store.RegisteredByReview {
		v.Warnings = nameWarnings(c.Name, s.known)
	}
	switch scheme, _, _ := strings.Cut(redirectURI, ":"); {
	case redirectURI == "":
	case clients.IsLoopback(redirectURI):
		v.Goes = "a program on the computer that this browser runs on (" + v.Goes + ")"
		v.Warnings = append(v.Warnings, "Any program on this computer can call itself that. Go on only if you just started this yourself.")
	case scheme != "https":
		v.Warnings = append(v.Warnings, "Any app on this device can open such links, and call itself that. Go on only if you just started this yourself.")
	case !v.Known:
		v.Warnings = append(v.Warnings, "Whoever has the site "+v.Goes+" gets the access. Go on only if you know that site, and just started this yourself.")
	}
	return v
}

// destination is the part of a redirect URI that says who gets the answer.
func destination(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil || uri == "":
		return ""
	case u.Host == "":
		return "whichever app opens links that begin with " + u.Scheme + ":"
	}
	return u.Host
}

// page shows a page of an authorization request.
func (s *server) page(c echo.Context, status int, name string, v visit, data map[string]any) error {
	if data == nil {
		data = map[string]any{}
	}
	data["Visit"] = v
	switch {
	case v.Request.Page != "":
		data["Purpose"] = purpose(v.Request.Page)
	case v.Request.Device != "":
		data["Client"] = s.viewOfDevice(v)
	default:
		data["Client"] = s.viewOf(v.Request.Client, v.Request.RedirectURI)
	}
	if c := v.Request.Client; c.ID != "" {
		u, _ := data["User"].(store.User) // nobody before the sign-in
		data["Can"], data["HowLong"], data["Issuer"] = abilities(c, v.Request.Scope, u), howLong(c, s.now()), s.cfg.Issuer()
	}
	data["Resource"] = v.Request.Resource
	data["Inbox"] = s.cfg.Origin("mail")
	// Browsers hold form-action against the redirects that follow a form, so
	// the client's own address has to be named.
	return s.render(c, status, name, formTarget(v.Request.RedirectURI), data)
}

// plain shows a page that belongs to no authorization request.
func (s *server) plain(c echo.Context, name string, data map[string]any) error {
	return s.render(c, http.StatusOK, name, "", data)
}

// errorPage shows an error to a person.
func (s *server) errorPage(c echo.Context, e pageError) {
	retryAfter(c, e.RetryAfter)
	err := s.render(c, e.Status, "error", "", map[string]any{
		"Title": e.Title, "Text": e.Text, "RequestID": httpserver.RequestID(c.Request().Context()),
	})
	if err != nil {
		s.log.ErrorContext(c.Request().Context(), "error page", "error", err.Error())
	}
}

func (s *server) render(c echo.Context, status int, name, formTarget string, data map[string]any) error {
	var body bytes.Buffer
	if err := templates[name].ExecuteTemplate(&body, "layout", data); err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Content-Security-Policy", strings.Join([]string{
		"default-src 'none'", "style-src 'self'", "form-action 'self'" + formTarget, "frame-ancestors 'none'", "base-uri 'none'",
	}, "; "))
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	return c.HTMLBlob(status, body.Bytes())
}

// formTarget is a redirect URI as a source of a content security policy.
func formTarget(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil || uri == "" || strings.ContainsAny(uri, ";, '\""):
		return ""
	case u.Scheme == "http" || u.Scheme == "https":
		return " " + u.Scheme + "://" + u.Host
	}
	return " " + u.Scheme + ":"
}
