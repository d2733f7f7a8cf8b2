package admin

import (
	"context"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"demo.example/services/internal/audit"
)

// change is something that an administrator is about to do.
type change struct {
	Title   string
	Subject string   // what it is done to, made harmless
	Effects []string // what will happen
	Warning string
	Button  string
	Danger  bool
	Back    string // the page that it belongs to

	refused string      // why it cannot be done; empty when it can
	event   audit.Event // what is recorded
	notice  string      // key in notices
	do      func(ctx context.Context) error
}

// reader finds out what change a form asks for. It changes nothing.
type reader func(ctx context.Context, v visitor, form url.Values) (change, error)

// errNothing is a form that asks for nothing that there is.
var errNothing = problem{Status: http.StatusBadRequest, Title: "Nothing was changed", Text: "Go back and choose what to do."}

// confirm shows what a change will do.
func (s *Server) confirm(read reader) func(echo.Context, visitor) error {
	return func(c echo.Context, v visitor) error {
		form := c.QueryParams()
		ch, err := s.read(c, v, read, form)
		if err != nil {
			return err
		}
		if ch.refused != "" {
			return refusal(ch)
		}
		return s.render(c, http.StatusOK, "confirm", v, map[string]any{
			"Change": ch, "Path": c.Path(), "Fields": form, "CSRF": s.formToken(v, c.Path()+"?"+form.Encode()),
		})
	}
}

// perform does what was confirmed, to the letter: the form's token is good for
// that alone. What came of it is recorded, whatever it was.
func (s *Server) perform(read reader) func(echo.Context, visitor) error {
	return func(c echo.Context, v visitor) error {
		if err := c.Request().ParseForm(); err != nil || c.Request().URL.RawQuery != "" {
			return errNothing
		}
		form := url.Values{}
		for name, values := range c.Request().PostForm {
			if name != "csrf" {
				form[name] = values
			}
		}
		if !s.isForm(c, v, c.Path()+"?"+form.Encode()) {
			return errForm
		}
		ch, err := s.read(c, v, read, form)
		if err != nil {
			return err
		}
		ch.event.User, ch.event.Decision, ch.event.Reason = v.User.ID, audit.Allowed, ""
		if ch.refused != "" {
			ch.event.Decision, ch.event.Reason = audit.Refused, ch.refused
			s.record(c, ch.event)
			return refusal(ch)
		}
		err = ch.do(c.Request().Context())
		if err != nil {
			ch.event.Decision, ch.event.Reason = audit.Failed, "it could not be done"
		}
		s.record(c, ch.event)
		if err != nil {
			return err
		}
		return c.Redirect(http.StatusSeeOther, ch.Back+separator(ch.Back)+"done="+ch.notice)
	}
}

func (s *Server) read(c echo.Context, v visitor, read reader, form url.Values) (change, error) {
	for _, values := range form {
		if len(values) != 1 {
			return change{}, errNothing
		}
	}
	return read(c.Request().Context(), v, form)
}

func refusal(ch change) error {
	return problem{Status: http.StatusConflict, Title: "This cannot be done", Text: ch.refused, Link: ch.Back, Where: "Back"}
}
