"""Pixels become readings: did something move, where are faces, how does each wear its mask?"""
