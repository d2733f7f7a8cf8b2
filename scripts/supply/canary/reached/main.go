// Program reached calls what is vulnerable: a scan has to report it.
package main

import "golang.org/x/text/language"

func main() {
	tag, err := language.Parse("en") // GO-2021-0113
	println(tag.String(), err)
}
