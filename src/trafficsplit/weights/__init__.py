"""Where a split is configured: a reader a kind, live clusters, and the editing of weights.

fields                            YAML and API objects, field by field, with lines for refusals
routes                            the types: Probe → Destination → Route
istio, gateway_api, progressive   a reader a kind
names                             what the responses of a destination show
manifests                         documents → Route → Split
editing, percent                  other weights in a manifest: the numbers, and nothing else
sources                           a manifest or a cluster's resource, read and set
cluster                           the live cluster behind it
"""
