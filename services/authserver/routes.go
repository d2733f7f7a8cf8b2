package authserver

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"demo.example/services/internal/audit"
)

// routes is the whole surface of the authorization server.
func (s *server) routes() http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = s.writeError
	e.IPExtractor = echo.ExtractIPFromXFFHeader() // behind the gateway, which sets the header anew
	e.Use(limitBody)
	e.GET("/healthz", s.healthz)

	// What a client reads before anything else.
	e.Match(getOptions, "/.well-known/oauth-authorization-server", s.metadata, s.anyOrigin)
	e.Match(getOptions, "/.well-known/openid-configuration", s.metadata, s.anyOrigin)
	e.Match(getOptions, "/jwks", s.jwks, s.anyOrigin)

	// What a client's program calls. Answers are JSON.
	e.Match(postOptions, "/register", s.register, s.audited(audit.ClientRegistered), s.allowedOrigins, noStore, s.limitRegistrations)
	e.Match(getOptions, "/register/:client_id", s.readRegistration, s.managingOrigins, noStore)
	e.PUT("/register/:client_id", s.updateRegistration, s.audited(audit.ClientChanged), s.managingOrigins, noStore)
	e.DELETE("/register/:client_id", s.deleteRegistration, s.audited(audit.ClientDeleted), s.managingOrigins, noStore)
	e.Match(postOptions, "/device_authorization", s.deviceAuthorization, s.audited(audit.Authorization), s.allowedOrigins, noStore, form, s.authenticated)
	e.Match(postOptions, "/token", s.token(), s.audited(audit.TokenIssued), s.allowedOrigins, noStore, form, s.nonceFirst, s.authenticated, s.keyBound)
	e.Match(postOptions, "/par", s.push, s.audited(audit.Authorization), s.allowedOrigins, noStore, s.limitRequests, form, s.nonceFirst, s.pusher, s.keyPushed)
	e.Match(getPostOptions, "/userinfo", s.userinfo, s.audited(audit.Access), s.allowedOrigins, noStore)
	e.Match(postOptions, "/revoke", s.revoke(), s.audited(audit.TokenRevoked), s.allowedOrigins, noStore, form, s.authenticated)
	e.POST("/introspect", s.introspect, s.audited(refusals), noStore, form, s.authenticated)
	e.GET("/revocations", s.revocations, s.audited(refusals), noStore, s.authenticated)                 // a stream
	e.POST("/approvals", s.askApproval, s.audited(audit.OrderApproval), noStore, form, s.authenticated) // resource servers: an order for the user to decide
	e.GET("/approvals/:id", s.readApproval, s.audited(refusals), noStore, s.authenticated)

	// What the other services report.
	e.POST(audit.Path, s.collectAudit, s.audited(refusals), noStore, s.authenticated)

	// What a person sees, in this order. Answers are pages.
	e.GET("/authorize", s.authorize, s.audited(audit.Authorization), noStore, s.limitRequests)
	e.POST("/authorize", s.authorize, s.audited(audit.Authorization), noStore, s.limitRequests) // from any site: it changes nothing
	e.GET("/signin", s.signInPage, noStore)
	e.POST("/signin", s.signIn, s.audited(audit.PasscodeSent), noStore, s.sameOrigin)
	e.GET("/passcode", s.passcodePage, noStore)
	e.POST("/passcode", s.passcode, s.audited(audit.SignIn), noStore, s.sameOrigin)
	e.GET("/consent", s.consentPage, s.audited(audit.Authorization), noStore)
	e.POST("/consent", s.consent, s.audited(audit.Consent), noStore, s.sameOrigin)
	e.GET("/device", s.devicePage, noStore) // where the user of a device begins
	e.POST("/device", s.deviceCode, s.audited(audit.Authorization), noStore, s.sameOrigin)
	e.GET("/approve", s.approvePage, noStore) // where the user decides about an order
	e.POST("/approve", s.decideApproval, s.audited(audit.OrderApproval), noStore, s.sameOrigin)
	e.GET("/account", s.accountPage, noStore)
	e.POST("/account", s.changeAccount, s.audited(audit.ConsentWithdrawn), noStore, s.sameOrigin)
	e.GET("/signout", s.signOutPage, noStore)
	e.POST("/signout", s.signOut, s.audited(audit.SignOut), noStore, s.sameOrigin)
	e.GET("/logout", s.logout, s.audited(audit.SignOut), noStore)
	e.POST("/logout", s.logout, s.audited(audit.SignOut), noStore) // from any site: it wants an ID token, or asks
	e.GET("/", s.home)

	e.GET("/static/*", echo.WrapHandler(static()))
	return e
}

var (
	getOptions  = []string{http.MethodGet, http.MethodHead, http.MethodOptions}
	postOptions = []string{http.MethodPost, http.MethodOptions}

	getPostOptions = []string{http.MethodGet, http.MethodPost, http.MethodOptions}
)
