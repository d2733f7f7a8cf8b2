package person

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Page is what the person sees.
type Page struct {
	URL    *url.URL
	Status int
	Header http.Header
	Title  string
	Text   string // all visible text, spaces collapsed
	HTML   string

	// Callback is where the browser was sent when it left the authorization
	// server; there is nothing to see then.
	Callback *url.URL

	form     *form
	passcode string // that the mail for this page brought
}

// form is the first form of a page.
type form struct {
	action  *url.URL
	hidden  url.Values
	inputs  []string    // that a person types into
	buttons [][2]string // name and value of each
}

// Asks reports whether the page has a field of this name to type into.
func (p *Page) Asks(field string) bool {
	return p.form != nil && slices.Contains(p.form.inputs, field)
}

// Offers reports whether the page has a button of this name and value.
func (p *Page) Offers(name, value string) bool {
	return p.form != nil && slices.Contains(p.form.buttons, [2]string{name, value})
}

// Passcode returns the passcode that the mail for this page brought.
func (p *Page) Passcode() string { return p.passcode }

// maxPage bounds a page, in bytes.
const maxPage = 1 << 20

// readPage parses a response as a browser would, and closes its body.
func readPage(resp *http.Response) (*Page, error) {
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return nil, err
	}
	page := &Page{URL: resp.Request.URL, Status: resp.StatusCode, Header: resp.Header, HTML: string(raw)}
	root, err := html.Parse(strings.NewReader(page.HTML))
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", resp.Request.URL.Path, err)
	}
	var text strings.Builder
	for n := range root.Descendants() {
		switch {
		case n.Type == html.TextNode && !within(n, atom.Script, atom.Style, atom.Title):
			text.WriteString(n.Data + " ")
		case n.DataAtom == atom.Title && n.FirstChild != nil:
			page.Title = strings.TrimSpace(n.FirstChild.Data)
		case n.DataAtom == atom.Form && page.form == nil:
			if page.form, err = readForm(resp.Request.URL, n); err != nil {
				return nil, err
			}
		}
	}
	page.Text = strings.Join(strings.Fields(text.String()), " ")
	return page, nil
}

func readForm(page *url.URL, root *html.Node) (*form, error) {
	action, err := page.Parse(attribute(root, "action"))
	if err != nil {
		return nil, fmt.Errorf("form action: %w", err)
	}
	f := &form{action: action, hidden: url.Values{}}
	for n := range root.Descendants() {
		name, kind := attribute(n, "name"), attribute(n, "type")
		switch {
		case name == "":
		case n.DataAtom == atom.Button, n.DataAtom == atom.Input && kind == "submit":
			f.buttons = append(f.buttons, [2]string{name, attribute(n, "value")})
		case n.DataAtom == atom.Input && kind == "hidden":
			f.hidden.Add(name, attribute(n, "value"))
		case n.DataAtom == atom.Input:
			f.inputs = append(f.inputs, name)
		}
	}
	return f, nil
}

func within(n *html.Node, elements ...atom.Atom) bool {
	return n.Parent != nil && slices.Contains(elements, n.Parent.DataAtom)
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}
