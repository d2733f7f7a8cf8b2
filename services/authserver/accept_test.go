package authserver

import (
	"slices"
	"strings"
	"testing"
)

func TestNegotiate(t *testing.T) {
	const json, jwt, signed = "application/json", "application/jwt", "application/token-introspection+jwt"
	tests := map[string]struct {
		accept []string
		want   string
	}{
		"none":                          {nil, json},
		"empty":                         {[]string{""}, json},
		"JSON":                          {[]string{json}, json},
		"phantom token":                 {[]string{jwt}, jwt},
		"signed answer":                 {[]string{signed}, signed},
		"case and spaces":               {[]string{"  Application/JWT ; q=1.0 "}, jwt},
		"a parameter":                   {[]string{"application/jwt; profile=x"}, jwt},
		"the first of equals":           {[]string{jwt + ", " + signed}, jwt},
		"the first of equals, reversed": {[]string{signed, jwt}, signed},
		"by weight":                     {[]string{jwt + ";q=0.4, " + json + ";q=0.5"}, json},
		"by weight, over two headers":   {[]string{json + ";q=0.4", signed + ";q=0.5"}, signed},
		"not wanted":                    {[]string{jwt + ";q=0"}, json},
		"weight that is none":           {[]string{jwt + ";q=x"}, json},
		"weight that is not a number":   {[]string{jwt + ";q=NaN"}, json},
		"weight above one":              {[]string{jwt + ";q=9, " + signed + ";q=0.1"}, signed},
		"anything":                      {[]string{"*/*"}, json},
		"anything rather than a JWT":    {[]string{"application/*, " + jwt + ";q=0.9"}, json},
		"a JWT rather than anything":    {[]string{"*/*;q=0.1, " + jwt}, jwt},
		"unknown":                       {[]string{"text/html, image/png"}, json},
		"unknown, then known":           {[]string{"text/html, " + signed}, signed},
		"a longer name":                 {[]string{"application/jwt2, xapplication/jwt"}, json},
		"a name inside a parameter":     {[]string{`text/html;x="application/jwt"`}, json},
		"garbage":                       {[]string{";;,,/,application/", "\x00"}, json},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := negotiate(tt.accept, introspectionTypes); got != tt.want {
				t.Errorf("%q: %s, want %s", tt.accept, got, tt.want)
			}
		})
	}
}

func FuzzNegotiate(f *testing.F) {
	for _, seed := range []string{"", "*/*", "application/jwt;q=0.5, application/json", "application/token-introspection+jwt", ";q=,", `a/b;c="`, "application/jwt;q=1e-400"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		got := negotiate([]string{accept}, introspectionTypes)
		if !slices.Contains(introspectionTypes, got) {
			t.Errorf("%q: %q is not offered", accept, got)
		}
		if got != introspectionTypes[0] && !strings.Contains(strings.ToLower(accept), got) {
			t.Errorf("%q: %q was not asked for", accept, got)
		}
	})
}
