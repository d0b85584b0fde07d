module trafficsplit.local/keys

go 1.26.0
