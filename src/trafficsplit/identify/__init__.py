"""Which variant a response names: headers, cookies, JSON, regular expressions, HTML and CSS colors.

identifier    one reader for each source; a response → a variant, or the reason why none
page          the background color of an HTML page, and fast for pages of a known shape
color         CSS colors, in any notation, to one name
"""
