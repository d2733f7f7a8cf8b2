package login

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/netip"
	"strings"
	texttemplate "text/template"

	"github.com/wneessen/go-mail"
)

// The mail says the same twice: as text, and as a page without anything that
// a mail program would have to fetch, which would tell somebody that it was
// read.
var (
	//go:embed letter.txt
	letterText string
	//go:embed letter.html
	letterHTML string

	textLetter = texttemplate.Must(texttemplate.New("letter.txt").Parse(letterText))
	htmlLetter = template.Must(template.New("letter.html").Parse(letterHTML))
)

// letterView is what a mail says. Nothing in it is as a stranger wrote it.
type letterView struct {
	First, Second   string // halves of the passcode
	Client, Site    string
	Own             bool
	Address, Family string // where the request came from
	Minutes         int
}

// letter writes a passcode mail.
func (m *SMTP) letter(msg Message) (*mail.Msg, error) {
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := letter.From(m.from); err != nil {
		return nil, err
	}
	if err := letter.To(msg.To); err != nil {
		return nil, err
	}
	letter.Subject("Your passcode") // the code itself would show on a locked phone's screen
	letter.SetDate()
	letter.SetMessageID()
	half := len(msg.Passcode) / 2
	view := letterView{
		First: msg.Passcode[:half], Second: msg.Passcode[half:],
		Client: PlainName(msg.ClientName), Site: msg.Site, Own: msg.Own,
		Address: plainAddress(msg.IP), Family: browserFamily(msg.UserAgent),
		Minutes: int(msg.Lifetime.Minutes()),
	}
	var text, html bytes.Buffer
	if err := textLetter.Execute(&text, view); err != nil {
		return nil, err
	}
	if err := htmlLetter.Execute(&html, view); err != nil {
		return nil, err
	}
	letter.SetBodyString(mail.TypeTextPlain, text.String())
	letter.AddAlternativeString(mail.TypeTextHTML, html.String())
	return letter, nil
}

// plainAddress returns an IP address as it is usually written. Whatever else
// somebody managed to send as one is not repeated.
func plainAddress(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return "an unknown address"
	}
	return addr.Unmap().WithZone("").String()
}

// browserFamilies are looked for in this order: most browsers also claim to be
// one of those further down.
var browserFamilies = []struct{ mark, name string }{
	{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
	{"Chrome/", "Chrome"}, {"CriOS/", "Chrome"}, {"Safari/", "Safari"},
}

// browserFamily names the browser that a User-Agent header tells of, in our
// words: of the header itself nothing is repeated.
func browserFamily(userAgent string) string {
	for _, f := range browserFamilies {
		if strings.Contains(userAgent, f.mark) {
			return f.name
		}
	}
	return "an unknown browser"
}
