"""The causes of a split that is not as configured: what each looks like, and which one it is.

explanation  what is said of a cause
candidates   the causes that would give exact shares: which shares, and what to do
weighing     which of these the counts support, against each other and against any other split
losses       why requests are lost: what the answers say
lost_to      which variant the lost requests were for
signs        causes that show in something else: a change, gateways, connections, a cache
inquiry      a run that goes on after its verdict, until its cause is known
"""
