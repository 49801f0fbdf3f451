"""Messages that arrive: incidents, policy, outbox, receivers.

Rule: one message when an outage begins and one when it is over, whatever happens in between, to
the network, to the receiver or to cbmon itself.
"""
