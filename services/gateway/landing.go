package gateway

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"

	"demo.example/services/internal/site"
)

//go:embed web
var web embed.FS

var pages = template.Must(template.ParseFS(web, "web/*.html"))

// newLanding serves the bare domain: a page that says what runs here and what
// to do first, and the gateway's own health.
func newLanding(s site.Site, services *states, health http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		writePage(w, s, http.StatusOK, "landing.html", services.current(r.Context()))
	})
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		http.ServeFileFS(w, r, web, "web/style.css")
	})
	mux.HandleFunc("GET /healthz", health)
	return mux
}

// newNotFoundPage answers for names below the domain that stand for nothing, and
// for paths of the others.
func newNotFoundPage(s site.Site, why string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writePage(w, s, http.StatusNotFound, "notfound.html", struct{ Host, Why string }{r.Host, why}) // as the browser named it
	})
}

// writePage answers with a page that can load the one style sheet and do
// nothing else, whatever ends up in it. about is what the page is about.
func writePage(w http.ResponseWriter, s site.Site, status int, name string, about any) {
	var page bytes.Buffer
	err := pages.ExecuteTemplate(&page, name, struct {
		Site  site.Site
		About any
	}{s, about})
	if err != nil {
		panic(err) // a mistake in the template; httpserver.Wrap answers
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+s.Origin("")+"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}
