"""The mask classifier: how does a data set become a network that reads masks?"""
