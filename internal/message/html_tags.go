package message

import (
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// isSkipped reports whether the text of an element, which is one token, is omitted.
func isSkipped(tag atom.Atom) bool {
	switch tag {
	case atom.Script, atom.Style, atom.Title, atom.Iframe, atom.Noembed, atom.Noframes:
		return true
	}
	return false
}

// attrs are the attributes that affect the text.
type attrs struct {
	href, alt, style, action, inputType, value, start string
	hidden                                            bool
}

// attributes reads the attributes of a tag. Of two with one name the first counts (WHATWG
// HTML 13.2.5.33).
func attributes(z *html.Tokenizer, more bool) (a attrs) {
	texts := map[string]*string{"href": &a.href, "alt": &a.alt, "style": &a.style, "action": &a.action, "type": &a.inputType, "value": &a.value, "start": &a.start}
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		if text, ok := texts[string(key)]; ok {
			*text = string(value)
			delete(texts, string(key))
		}
		a.hidden = a.hidden || string(key) == "hidden"
	}
	return a
}

// inTable reports whether an element is part of the structure of a table.
func inTable(tag atom.Atom) bool {
	switch tag {
	case atom.Table, atom.Tbody, atom.Thead, atom.Tfoot, atom.Tr, atom.Td, atom.Th, atom.Caption:
		return true
	}
	return false
}

// isVoid reports whether an element has neither content nor end tag.
func isVoid(tag atom.Atom) bool {
	switch tag {
	case atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta,
		atom.Param, atom.Source, atom.Track, atom.Wbr:
		return true
	}
	return false
}

// lineEndsAround returns the number of line ends before and after an element.
func lineEndsAround(tag atom.Atom) int {
	switch tag {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote, atom.Pre:
		return 2
	case atom.Div, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Nav, atom.Aside, atom.Main,
		atom.Form, atom.Fieldset, atom.Address, atom.Center, atom.Body, atom.Hr, atom.Ul, atom.Ol, atom.Menu, atom.Li,
		atom.Dl, atom.Dt, atom.Dd, atom.Table, atom.Tr, atom.Caption, atom.Figure, atom.Option, atom.Textarea:
		return 1
	}
	return 0
}
