package authserver

import (
	"fmt"
	"strings"
	"time"

	"demo.example/services/authserver/clients"
	"demo.example/services/authserver/grants"
	"demo.example/services/authserver/login"
	"demo.example/services/authserver/store"
	"demo.example/services/internal/oauth"
)

// What access means, in words for people who never heard of scopes. What the
// stocks service makes of a client and of a sign-in is a part of it.

// abilities says what a scope lets a client do. Nobody may have signed in yet.
func abilities(c store.Client, scope string, u store.User) []string {
	if c.ID == clients.Administration {
		return []string{"Let you see and change the users, clients, access and keys of this server, if you are an administrator"}
	}
	const since = "since it cannot prove who it is"
	agent, unproven := c.Type == clients.TypeMCP, c.Assurance <= clients.AssuranceNone
	region, email := "your region", "your email address"
	if u.ID != "" {
		region, email = region+", "+u.Region, email+", "+u.Email
	}
	var can []string
	for value := range strings.FieldsSeq(scope) {
		switch {
		case value == oauth.ScopeStocksRead && agent && unproven:
			can = append(can, "Read the stock prices of "+region+", as they were 15 minutes before, "+since)
		case value == oauth.ScopeStocksRead:
			can = append(can, "Read the stock prices of "+region)
		case value == oauth.ScopeStocksTrade && agent && unproven:
			can = append(can, "Prepare orders to buy and sell stocks in your name. The stocks service will refuse them, "+since, ordersSeen)
		case value == oauth.ScopeStocksTrade && agent:
			can = append(can, "Prepare orders to buy and sell stocks in your name. You are asked about each one, on a page of this site", ordersSeen)
		case value == oauth.ScopeStocksTrade:
			can = append(can, "Buy and sell stocks in your name, for 15 minutes after each time that you sign in for it", ordersSeen)
		case value == oauth.ScopeOpenID:
			can = append(can, "Know that you are you when you come back")
		case value == oauth.ScopeEmail:
			can = append(can, "Know "+email)
		}
	}
	return can
}

// ordersSeen is what trading includes.
const ordersSeen = "See your orders, also those that you placed with other applications"

// howLong says how long a client keeps what it is given now.
func howLong(c store.Client, now time.Time) string {
	again := ""
	if c.Remember {
		again = " After that it gets the same again without asking you, until you take it back."
	}
	switch {
	case c.ID == clients.Administration:
		return fmt.Sprintf("Until you sign out there, for %d hours at most. It ends earlier when you do nothing there for %d minutes.",
			int(login.AdminLifetime.Hours()), int(login.AdminIdle.Minutes())) + again
	case clients.AllowsGrant(c, "refresh_token"):
		return "Until " + now.Add(grants.GrantLifetime).UTC().Format("2 January 2006") +
			" (30 days) at the latest, also while you are away. It ends earlier when it is not used for a week." + again
	}
	return "For 15 minutes from when you allow it." + again
}
