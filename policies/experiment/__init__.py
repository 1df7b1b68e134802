"""Experiments with people who take over, without people: a scripted expert demonstrates, watches and intervenes.

The data go through the store, training through `policies.train`, flights through `policies.evaluate`: what is measured
here is what the product does. Only who flies is scripted.
"""
