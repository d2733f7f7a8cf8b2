package authserver

import (
	"context"
	"crypto/hmac"
	"errors"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"demo.example/services/authserver/cookies"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/limits"
	"demo.example/services/authserver/store"
)

// deviceAuthorization serves POST /device_authorization (RFC 8628 §3.1).
func (s *server) deviceAuthorization(c echo.Context) error {
	r := c.Request()
	start, err := s.grants.StartDevice(r.Context(), clientOf(r.Context()), r.PostForm["resource"], r.PostForm.Get("scope"), limits.Network(c.RealIP()))
	if err != nil {
		return err
	}
	page := s.cfg.Issuer() + "/device"
	return c.JSON(http.StatusOK, oidc.DeviceAuthorizationResponse{
		DeviceCode:              start.DeviceCode,
		UserCode:                start.UserCode,
		VerificationURI:         page,
		VerificationURIComplete: page + "?" + url.Values{"user_code": {start.UserCode}}.Encode(),
		ExpiresIn:               int(start.ExpiresIn.Seconds()),
		Interval:                int(start.Interval.Seconds()),
	})
}

// DeviceToken implements the device authorization grant.
func (p provider) DeviceToken(ctx context.Context, r *op.ClientRequest[oidc.DeviceAccessTokenRequest]) (*op.Response, error) {
	return p.answer(ctx)(p.s.grants.RedeemDevice(ctx, clientOf(ctx), r.Data.DeviceCode))
}

// devicePage serves GET /device. A code in the link is filled in and no more:
// the user still has to compare it and to go on (RFC 8628 §3.3.1).
func (s *server) devicePage(c echo.Context) error {
	code, ok := grants.ParseUserCode(c.QueryParam("user_code"))
	if ok {
		code = grants.ShowUserCode(code)
	}
	return s.askUserCode(c, http.StatusOK, code, "")
}

func (s *server) askUserCode(c echo.Context, status int, code, problem string) error {
	return s.render(c, status, "device", "", map[string]any{
		"CSRF": s.formToken(s.browser(c), "device"), "Code": code, "Problem": problem,
	})
}

// deviceCode serves POST /device: the code that the user typed becomes an
// authorization request of this browser, which goes on as every other.
func (s *server) deviceCode(c echo.Context) error {
	browser := cookies.Get(c, browserCookie)
	if browser == "" || !hmac.Equal([]byte(c.FormValue("csrf")), []byte(s.formToken(browser, "device"))) {
		return pageError{Status: http.StatusForbidden, Title: "This form is not from here", Text: "Open the page again by the address that your device shows."}
	}
	code, ok := grants.ParseUserCode(c.FormValue("user_code"))
	if !ok {
		return s.askUserCode(c, http.StatusBadRequest, "", "A code has eight letters, such as WDJB-MJHT. Check it and try again.")
	}
	// Counted before it is compared, so that guesses in parallel all count.
	waiting, err := s.db.WaitingDevices(c.Request().Context(), s.now())
	if err != nil {
		return err
	}
	refund, wait := s.userCodes.take(c.RealIP(), waiting)
	if wait > 0 {
		return pageError{Status: http.StatusTooManyRequests, Title: "Too many wrong codes", RetryAfter: wait,
			Text: "Many wrong codes were typed, here or elsewhere. Wait an hour, then start again on your device."}
	}
	request, err := s.grants.RequestForDevice(c.Request().Context(), code, store.HashOf(browser))
	if errors.Is(err, store.ErrNotFound) {
		refused(c, "no device shows this user code")
		return s.askUserCode(c, http.StatusBadRequest, "", "No device shows this code right now. Check it. A code works for ten minutes and once: after that, start again on your device.")
	}
	refund()
	if err != nil {
		return err
	}
	return s.next(c, "/signin", request.ID)
}

// deviceDone ends the way of a device's request in the browser.
func (s *server) deviceDone(c echo.Context, allowed bool) error {
	return s.plain(c, "devicedone", map[string]any{"Allowed": allowed})
}

// viewOfDevice is what the pages say of a client whose answer goes to a
// device. The danger is not a wrong address but a right one in wrong hands: a
// stranger who started this and sent the victim the code (RFC 8628 §5.4).
func (s *server) viewOfDevice(v visit) clientView {
	view := s.viewOf(v.Request.Client, "")
	view.Goes = "a device or program that shows this code: " + s.grants.UserCodeOf(v.Request)
	view.Warnings = append(view.Warnings, "Go on only if you see this code on a device in front of you, and started this there yourself. "+
		"If somebody sent you the code or a link with it, they would get the access: close this page.")
	return view
}
