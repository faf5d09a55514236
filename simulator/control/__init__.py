"""The control API: the rider's hands, the world's mishaps and the whole truth, over HTTP."""
