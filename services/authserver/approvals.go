package authserver

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/httpserver"
	"demo.example/services/internal/oauth"
)

// approvalAnswer is what a resource server learns of an approval.
type approvalAnswer struct {
	ID        string `json:"approval_id"`
	URI       string `json:"approval_uri"` // to send the user to
	Status    string `json:"status"`
	ExpiresIn int    `json:"expires_in"` // seconds
}

func (s *server) approvalAnswer(a store.Approval) approvalAnswer {
	return approvalAnswer{
		ID:        a.ID,
		URI:       s.cfg.Issuer() + approvePath(a.ID),
		Status:    a.Status,
		ExpiresIn: max(0, int(a.ExpiresAt.Sub(s.now()).Seconds())),
	}
}

// approvePath is where a user decides about an order.
func approvePath(id string) string { return "/approve?" + url.Values{"approval": {id}}.Encode() }

// askApproval serves POST /approvals: a resource server asks that the user in
// whose name it was called decides about one order.
func (s *server) askApproval(c echo.Context) error {
	ctx, form := c.Request().Context(), c.Request().PostForm
	a, created, err := s.grants.AskApproval(ctx, clientOf(ctx), grants.ExchangeRequest{
		SubjectToken:     form.Get("subject_token"),
		SubjectTokenType: form.Get("subject_token_type"),
	}, form.Get("authorization_details"))
	if refused, ok := errors.AsType[*oauth.Error](err); ok {
		s.log.InfoContext(ctx, "approval not asked for", "request_id", httpserver.RequestID(ctx), "caller", clientOf(ctx).ID, "reason", refused.Code)
	}
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return c.JSON(status, s.approvalAnswer(a))
}

// readApproval serves GET /approvals/{id} to the resource server that asked.
func (s *server) readApproval(c echo.Context) error {
	ctx := c.Request().Context()
	a, err := s.grants.AskedApproval(ctx, clientOf(ctx), c.Param("id"))
	if errors.Is(err, store.ErrNotFound) {
		return &oauth.Error{Code: "invalid_request", Description: "this client asked for no approval of that id", Status: http.StatusNotFound}
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s.approvalAnswer(a))
}
