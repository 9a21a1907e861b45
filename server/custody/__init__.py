"""The ports of the domain, carried out by what lies outside."""
