package person

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"time"

	"demo.example/e2e/deployment"
)

// Inbox reads the development inbox, where every mail of the deployment ends.
type Inbox struct {
	Deployment *deployment.Deployment
}

// Message is a mail as it was sent.
type Message struct {
	ID      string
	Subject string
	Text    string // the text part, decoded
}

// polling of the inbox: mail takes a few milliseconds, and an outage is not
// worth a long wait.
const (
	pollEvery = 15 * time.Millisecond
	pollFor   = 10 * time.Second
)

// passcode is eight digits, in two halves for those who type them.
var passcode = regexp.MustCompile(`(?:^|\D)(\d{4}) ?(\d{4})(?:\D|$)`)

// Passcode waits for a mail to the address that is newer than the one with
// the id after, and returns the passcode in it.
func (in *Inbox) Passcode(ctx context.Context, address, after string) (string, error) {
	message, err := in.Next(ctx, address, after)
	if err != nil {
		return "", err
	}
	found := passcode.FindStringSubmatch(message.Text)
	if found == nil {
		return "", fmt.Errorf("the mail %q has no passcode of 8 digits in it", message.Subject)
	}
	return found[1] + found[2], nil
}

// Newest returns the id of the newest mail to the address, empty when there
// is none.
func (in *Inbox) Newest(ctx context.Context, address string) (string, error) {
	message, err := in.newest(ctx, address)
	if message == nil {
		return "", err
	}
	return message.ID, nil
}

// Next waits for a mail to the address that is newer than the one with the id
// after.
func (in *Inbox) Next(ctx context.Context, address, after string) (*Message, error) {
	ctx, cancel := context.WithTimeout(ctx, pollFor)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		message, err := in.newest(ctx, address)
		if err != nil {
			return nil, err
		}
		if message != nil && message.ID != after {
			return message, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no mail to %s within %s", address, pollFor)
		case <-tick.C:
		}
	}
}

// newest asks MailHog's API; it answers newest first.
func (in *Inbox) newest(ctx context.Context, address string) (*Message, error) {
	query := url.Values{"kind": {"to"}, "query": {address}, "limit": {"1"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, in.Deployment.Origin("mail")+"/api/v2/search?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := in.Deployment.Client().Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the inbox: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the inbox answers %s", resp.Status)
	}
	var found struct {
		Items []struct {
			ID  string
			Raw struct{ Data string }
		} `json:"items"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		return nil, fmt.Errorf("the inbox's answer: %w", err)
	}
	if len(found.Items) == 0 {
		return nil, nil
	}
	message, err := parse(found.Items[0].Raw.Data)
	if err != nil {
		return nil, fmt.Errorf("parse a mail: %w", err)
	}
	message.ID = found.Items[0].ID
	return message, nil
}

// parse decodes a mail: MailHog hands its bytes over as they came.
func parse(raw string) (*Message, error) {
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		return nil, err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return nil, err
	}
	text, err := textOf(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
	return &Message{Subject: subject, Text: text}, err
}

// textOf returns the decoded body, or the first text part of several.
func textOf(contentType, encoding string, body io.Reader) (string, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err == nil && strings.HasPrefix(media, "multipart/") {
		part, err := multipart.NewReader(body, params["boundary"]).NextRawPart()
		if err != nil {
			return "", err
		}
		return textOf(part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part)
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, err := io.ReadAll(body)
	return string(text), err
}
