"""The starter's assets: small trained weights and two picture banks, found as `starter:NAME`. It offers no components."""
