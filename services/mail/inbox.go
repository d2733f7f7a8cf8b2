package mail

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"

	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/problem"
	"demo.example/services/internal/site"
)

// mailFrame is what the frame that shows an HTML mail may do: be reached by
// the page around it, and open links in a new tab. Not among it are scripts,
// forms, and navigating the page (HTML Standard, "sandboxing").
const mailFrame = "allow-same-origin allow-popups allow-popups-to-escape-sandbox"

// apiHeaders are the response headers of MailHog's API that pass. With an
// attachment it sends every header that the mail's author wrote into its part,
// Set-Cookie and Access-Control-Allow-Origin as well.
var apiHeaders = map[string]bool{"Content-Type": true, "Content-Length": true, "Content-Disposition": true, "Date": true}

// newInbox returns a reverse proxy to MailHog's page and API that contains
// what a hostile mail can do in the browser.
func newInbox(s site.Site, hog *mailhog, log *slog.Logger) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(hog.URL)
			r.Out.SetBasicAuth(hog.User, hog.Password)
			r.Out.Header.Del("Cookie") // nothing of it is MailHog's business
		},
		Transport: hog.Client.Transport,
		ModifyResponse: func(resp *http.Response) error {
			if strings.HasPrefix(resp.Request.URL.Path, "/api/") {
				secureAPI(resp)
				return nil
			}
			return securePage(resp, s)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			log.Warn("MailHog did not answer", "request_id", httpserver.RequestID(r.Context()), "error", err)
			problem.Write(w, r, problem.Unavailable("The mail server"))
		},
	}
}

// secureAPI makes an answer of the API something to read, never a page: an
// attachment of type text/html would otherwise run in the inbox's origin.
func secureAPI(resp *http.Response) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return // a WebSocket, which has no content
	}
	for name := range resp.Header {
		if !apiHeaders[name] {
			resp.Header.Del(name)
		}
	}
	disposition := resp.Header.Get("Content-Disposition")
	if strings.HasSuffix(resp.Request.URL.Path, "/download") && !strings.HasPrefix(strings.ToLower(disposition), "attachment") {
		resp.Header.Set("Content-Disposition", "attachment")
	}
	resp.Header.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	resp.Header.Set("Cache-Control", "no-store")
	commonHeaders(resp.Header)
}

// securePage adds the policy to MailHog's page and its parts, and rewrites the
// page itself to meet it.
//
// Scripts are allowed by a nonce that is new for every answer, not by origin:
// a mail is shown in a frame that inherits the policy, and the inbox's origin
// serves attachments, and a version of Angular that runs code out of markup.
// The mail cannot know the nonce.
func securePage(resp *http.Response, s site.Site) error {
	nonce := rand.Text()
	resp.Header.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; script-src 'nonce-%s'; "+
		"style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self' wss://%s; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'", nonce, s.Host("mail")))
	commonHeaders(resp.Header)
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		return nil
	}
	resp.Header.Set("Cache-Control", "no-store") // a stored page would repeat its nonce
	page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read MailHog's page: %w", err)
	}
	resp.Body.Close()
	// The page is a constant of MailHog's: no mail is in it yet.
	page = bytes.ReplaceAll(page, []byte("<script"), []byte(`<script nonce="`+nonce+`"`))
	page = bytes.ReplaceAll(page, []byte("<iframe"), []byte(`<iframe sandbox="`+mailFrame+`"`))
	resp.Body = io.NopCloser(bytes.NewReader(page))
	resp.ContentLength = int64(len(page))
	resp.Header.Set("Content-Length", strconv.Itoa(len(page)))
	return nil
}

func commonHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
