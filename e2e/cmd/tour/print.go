package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"demo.example/e2e/deployment"
	"demo.example/e2e/record"
)

// printer writes for people.
type printer struct {
	out    io.Writer
	colour bool
	step   int
}

// newPrinter uses colours on a terminal, unless NO_COLOR asks not to
// (https://no-color.org).
func newPrinter(out *os.File, env deployment.Vars) *printer {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &printer{out: out, colour: terminal && env["NO_COLOR"] == "" && env["TERM"] != "dumb"}
}

const (
	bold   = "1"
	faint  = "2"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (p *printer) paint(style, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (p *printer) say(format string, args ...any) {
	fmt.Fprintf(p.out, format+"\n", args...)
}

// heading begins a chapter.
func (p *printer) heading(format string, args ...any) {
	title := fmt.Sprintf(format, args...)
	p.say("\n%s", p.paint(bold, "══ "+title+" "+strings.Repeat("═", max(0, 74-len([]rune(title))))))
}

// title begins a step.
func (p *printer) title(format string, args ...any) {
	p.step++
	p.say("\n%s", p.paint(bold, fmt.Sprintf("%d. ", p.step)+fmt.Sprintf(format, args...)))
}

// notice says what the reader should see.
func (p *printer) notice(lines ...string) {
	for i, line := range lines {
		mark := "  Notice: "
		if i > 0 {
			mark = "          "
		}
		p.say("%s", p.paint(yellow, mark+line))
	}
}

// shown are the headers that matter here, in the order in which they are
// shown.
var shown = []string{
	"Authorization", "Content-Type", "Accept", "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name",
	"Www-Authenticate", "Location", "Cache-Control", "Retry-After",
}

// exchange shows a request and its response.
func (p *printer) exchange(e record.Exchange) {
	p.say("  %s %s", p.paint(cyan, "→"), p.paint(cyan, e.Request.Method+" "+record.URL(e.Request.URL)))
	p.headers(e.Request.Header)
	p.body(record.Body(e.Request.Header.Get("Content-Type"), e.RequestBody))
	p.response(e)
}

// response shows the response alone.
func (p *printer) response(e record.Exchange) {
	p.say("  %s %s", p.paint(green, "←"), p.paint(green, fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))))
	p.headers(e.Header)
	p.body(record.Body(e.Header.Get("Content-Type"), e.Body))
}

func (p *printer) headers(h http.Header) {
	for _, name := range shown {
		if h.Get(name) != "" {
			p.say("      %s", p.paint(faint, strings.ToLower(name)+": "+record.Header(h, name)))
		}
	}
}

// maxLines is how much of a body is shown.
const maxLines = 50

func (p *printer) body(text string) {
	if text == "" {
		return
	}
	lines := strings.Split(text, "\n")
	for _, line := range lines[:min(len(lines), maxLines)] {
		if runes := []rune(line); len(runes) > 160 {
			line = string(runes[:160]) + "…"
		}
		p.say("      %s", line)
	}
	if len(lines) > maxLines {
		p.say("      %s", p.paint(faint, fmt.Sprintf("… %d more lines", len(lines)-maxLines)))
	}
}
